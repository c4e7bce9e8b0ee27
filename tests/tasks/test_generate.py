"""generate: determinism, batches, recipes, what it refuses."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import limner
from limner import generate, open_model
from limner._rooms import names
from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.picture import psnr
from limner.tasks import Progress

SMALL = dict(steps=3, size=(32, 32), precision="float32")


@pytest.fixture(scope="module")
def model(sd_folder: Callable[[str], Path]) -> TextToImage:
    return open_model(sd_folder("own"))


def test_the_same_arguments_give_the_same_bytes(model: TextToImage) -> None:
    runs = [generate("a red cube", model=model, seed=4, count=2, **SMALL) for _ in range(2)]
    assert [picture.bytes() for picture in runs[0]] == [picture.bytes() for picture in runs[1]]
    other = generate("a red cube", model=model, seed=5, count=2, **SMALL)
    assert psnr(runs[0][0].pixels, other[0].pixels) < 40
    assert psnr(runs[0][0].pixels, runs[0][1].pixels) < 40


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral", "ddim"])
def test_a_picture_alone_is_the_one_of_the_batch(model: TextToImage, sampler: str) -> None:
    options = dict(model=model, seed=9, sampler=sampler, **SMALL)
    batch = generate("a cat", count=10, **options)  # two chunks
    for k in (0, 3, 9):
        alone = generate("a cat", first=k, **options)[0]
        assert psnr(batch[k].pixels, alone.pixels) > 50
        assert alone.recipe is not None
        assert alone.recipe["sample"] == k


def test_its_noise_is_the_same_bit_for_bit(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.tasks import _paint

    starts = []
    real = _paint.find

    def find(room: str, name: str) -> Any:
        sampler = real(room, name)
        return lambda d, x, levels, noise: starts.append(x) or sampler(d, x, levels, noise=noise)

    monkeypatch.setattr(_paint, "find", find)
    generate("a cat", count=10, model=model, **SMALL)
    generate("a cat", first=9, model=model, **SMALL)
    assert torch.equal(starts[2][0], starts[1][1])


def test_the_recipe_holds_everything(model: TextToImage) -> None:
    picture = generate("a cat:2 | a dog:-1", model=model, negative="red", seed=3, count=2, **SMALL)[
        1
    ]
    recipe = picture.recipe
    assert recipe is not None
    assert json.loads(json.dumps(recipe))["sample"] == 1
    assert recipe["task"] == "generate"
    assert recipe["batch"] == [0, 2]
    assert recipe["limner"] == limner.__version__
    assert recipe["torch"] == torch.__version__
    assert recipe["model"] == {"name": model.name, "fingerprint": model.fingerprint}
    apart = {"model", "precision", "watch", "fast"}  # fast is in the model's name
    given = set(inspect.signature(generate).parameters) - apart
    assert set(recipe["arguments"]) == given
    assert recipe["arguments"]["prompt"] == "a cat:2 | a dog:-1"
    assert tuple(recipe["arguments"]["size"]) == (32, 32)


def test_words_weights_and_guidance_matter(model: TextToImage) -> None:
    def painted(prompt: str, **options: Any) -> torch.Tensor:
        return generate(prompt, model=model, **SMALL, **options)[0].pixels

    base = painted("a cat", guidance_scale=4.0)
    for other in (
        painted("a horse", guidance_scale=4.0),
        painted("a cat", guidance_scale=1.0),
        painted("a cat", guidance_scale=4.0, negative="dog"),
        painted("a cat", guidance_scale=4.0, guidance_interval=(0.3, 0.6)),
        painted("a cat", guidance_scale=4.0, guidance_rescale=0.9),
        painted("a cat | a dog", guidance_scale=4.0),
    ):
        assert not torch.equal(base, other)
    assert psnr(painted("a cat:2", guidance_scale=2.0), base) > 60
    assert psnr(painted("a cat | a dog:0", guidance_scale=4.0), base) > 60
    with pytest.raises(BadInput, match="several parts"):
        painted("a cat | a dog", guidance_rescale=0.5)


def test_sizes(model: TextToImage) -> None:
    for size in ("48x32", (48, 32), "48×32"):
        picture = generate("a cat", model=model, steps=1, size=size)[0]
        assert picture.pixels.shape == (3, 32, 48)
    assert generate("a cat", model=model, steps=1)[0].pixels.shape == (3, 64, 64)


def test_watching_and_stopping(model: TextToImage) -> None:
    seen: list[Progress] = []
    final = generate("a cat", count=9, model=model, watch=seen.append, **SMALL)
    assert [(each.step, each.total) for each in seen] == [(i, 6) for i in range(1, 7)]
    previews = seen[-1].preview()
    assert len(previews) == 1
    assert psnr(previews[0].pixels, final[8].pixels) > 40  # the last step ends at what it expects
    assert psnr(seen[0].preview()[0].pixels, final[0].pixels) < 40

    class Stop(Exception):
        pass

    count = 0

    def watch(_: Progress) -> None:
        nonlocal count
        count += 1
        raise Stop

    with pytest.raises(Stop):
        generate("a cat", model=model, watch=watch, **SMALL)
    assert count == 1


def test_best_of_keeps_what_clip_ranks_highest(
    model: TextToImage, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner import open_clip, rank
    from limner.tasks import _look

    clip = open_clip(clip_folder)
    monkeypatch.setattr(_look, "open_clip", lambda _: clip)
    pictures = generate("a red cube", model=model, count=6, **SMALL)
    order = [each.picture.recipe["sample"] for each in rank("a red cube", pictures, clip=clip)]  # type: ignore[index]
    best = generate("a red cube", model=model, count=2, best_of=6, **SMALL)
    assert [picture.recipe["sample"] for picture in best] == order[:2]  # type: ignore[index]
    assert torch.equal(best[0].pixels, pictures[order[0]].pixels)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(prompt=""), "prompt is empty"),
        (dict(prompt="x" * 100_000), "100,000 characters"),
        (dict(prompt="a cat | "), "empty phrase"),
        (dict(prompt="cat.png"), "names a picture"),
        (dict(negative="x" * 100_000), "negative prompt has 100,000"),
        (dict(size="127x-3"), "size '127x-3'"),
        (dict(size="big"), "size 'big'"),
        (dict(size=(0, 32)), r"size \(0, 32\)"),
        (dict(size="99999x32"), "up to 4096"),
        (dict(size="33x32"), "multiples of 4, such as 32x32"),
        (dict(count=0), "count 0"),
        (dict(count=True), "count True"),
        (dict(steps=0), "steps 0"),
        (dict(steps=1001), "steps 1001"),
        (dict(seed=-1), "seed -1"),
        (dict(seed=2**64), "seed"),
        (dict(first=-1), "first -1"),
        (dict(best_of=1, count=2), "best-of 1"),
        (dict(sampler="magic"), "no sampler 'magic': choose one of ddim"),
        (dict(sampler="_steps"), "no sampler '_steps'"),
        (dict(sampler="../models/clip"), "no sampler"),
        (dict(guidance_scale=float("nan")), "guidance scale nan"),
        (dict(guidance_interval=(0.5, 0.1)), "guidance interval"),
        (dict(guidance_rescale=2.0), "guidance rescale 2.0"),
        (dict(precision="int4"), "precision 'int4'"),
        (dict(model="/no/such/model"), "no model at"),
    ],
)
def test_what_it_refuses(model: TextToImage, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as raised:
        generate(**{"prompt": "a cat", "model": model, "steps": 1, **options})
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_epsilon_networks_refuse_pure_noise(sd_folder: Callable[[str], Path]) -> None:
    from limner.levels import zero_terminal

    sd1 = open_model(sd_folder("sd1"))
    assert sd1.alpha_bars is not None
    with pytest.raises(BadInput, match="cannot start from pure noise"):
        generate("a cat", model=replace(sd1, alpha_bars=zero_terminal(sd1.alpha_bars)), **SMALL)


@pytest.mark.parametrize("sampler", names("samplers"))
def test_every_sampler_paints(model: TextToImage, sampler: str) -> None:
    pictures = generate("a cat", model=model, sampler=sampler, **SMALL)
    assert pictures[0].pixels.isfinite().all()
    assert pictures[0].pixels.std() > 0.01
