"""interpolate in the spaces of a diffusion model: pictures by unCLIP, prompts, noises."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, Picture, generate, interpolate, replay
from limner.tasks import Progress
from limner.tasks._unclip import open_decoder

sys.path.insert(0, str(Path(__file__).parents[1]))
from _unclip import exact, random_decoder

Get = Callable[[str], Path]


def test_between_noises_and_between_prompts_the_ends_are_what_generate_paints(
    sd_folder: Get, tmp_path: Path
) -> None:
    model = str(sd_folder("own"))
    told: list[Progress] = []
    found = interpolate("seed:3", "8", space="noise", prompt="a cat", frames=3, steps=2,
                        model=model, watch=told.append)  # fmt: skip
    assert [each.step for each in told] == [1, 2] and told[-1].total == 2
    for frame, seed in ((0, 3), (2, 8)):
        wanted = generate("a cat", seed=seed, steps=2, model=model)[0].pixels
        assert (found.frames[frame].pixels - wanted).abs().max() < 0.03
    assert not torch.equal(found.frames[1].pixels, found.frames[0].pixels)
    words = interpolate("a cat", "a red cube", space="words", seed=5, frames=3, steps=2,
                        guidance_scale=2.0, model=model, film=tmp_path / "film.gif")  # fmt: skip
    assert (tmp_path / "film.gif").stat().st_size > 100
    for frame, prompt in ((0, "a cat"), (2, "a red cube")):
        wanted = generate(prompt, seed=5, steps=2, guidance_scale=2.0, model=model)[0].pixels
        assert (words.frames[frame].pixels - wanted).abs().max() < 0.03
    for picture in (found.sheet, found.frames[2], words.sheet):
        again = replay(picture)
        assert again.identical and not again.notes


def test_between_pictures_the_ends_are_the_pictures(
    sd_folder: Get, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a network that is exact; and again by one that is random."""
    model, torch_seed = str(sd_folder("own")), torch.manual_seed(2)
    decoder = str(random_decoder(tmp_path / "decoder", sd_folder("own"), clip_folder))
    cells = torch.rand(2, 3, 8, 8, generator=torch_seed)
    pictures = [Picture(each.repeat_interleave(8, 1).repeat_interleave(8, 2)) for each in cells]
    names = [str(each.save(tmp_path / f"{i}.png")) for i, each in enumerate(pictures)]
    own: dict[str, Any] = dict(space="clip", decoder=decoder, model=model, frames=3)
    own["guidance_scale"] = 1.0
    with monkeypatch.context() as patch:
        paints = exact(open_decoder(model, decoder))
        patch.setattr("limner.tasks._between.open_decoder", lambda *_: paints)
        told: list[Progress] = []
        found = interpolate(*names, steps=16, watch=told.append, **own)
    assert [each.step for each in told] == list(range(1, 33)) and told[0].total == 32
    ends, frames = [_seen(model, each) for each in pictures], [each.pixels for each in found.frames]
    for frame, own_end, other in ((0, *ends), (2, *ends[::-1])):
        apart = (frames[frame] - own_end).square().mean()
        assert apart < 0.1 * (frames[frame] - other).square().mean()
    found = interpolate(*names, steps=2, **own)
    for picture in (found.frames[1], found.sheet):
        again = replay(picture.save(tmp_path / "again.png"))
        assert again.identical and not again.notes


def _seen(model: str, picture: Picture) -> torch.Tensor:
    """Through the autoencoder and back."""
    from limner import open_model

    opened = open_model(model)
    return opened.decode(opened.encode(picture.pixels[None]))[0]


def test_what_is_refused(sd_folder: Get) -> None:
    model = str(sd_folder("own"))
    for why, do in {
        "no space 'time'": lambda: interpolate("a", "b", space="time", model=model),
        "drop --generator": lambda: interpolate("a", "b", space="words", generator="vqgan"),
        "give two seeds": lambda: interpolate("a", "b", space="noise", prompt="a", model=model),
        "prompt is empty": lambda: interpolate("1", "2", space="noise", model=model),
        "one phrase": lambda: interpolate("a:2", "b", space="words", model=model),
        "no such file": lambda: interpolate("a.png", "b.png", space="clip", model=model),
    }.items():  # fmt: skip
        with pytest.raises(BadInput, match=why):
            do()


def test_the_command(run: Any, sd_folder: Get) -> None:
    model = sd_folder("own")
    status, said, _ = run("interpolate", "a cat", "a dog", "--space", "words", "--frames", 2,
                          "--steps", 1, "--model", model, "-o", "w.png")  # fmt: skip
    assert status == 0 and said.split() == ["w.png"] and run("replay", "w.png")[0] == 0
    status, _, error = run("interpolate", "1", "2", "--space", "noise", "--model", model)
    assert status == 2 and "prompt is empty" in error
