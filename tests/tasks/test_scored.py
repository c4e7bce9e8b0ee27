"""The judge score of an opened model: against diffusers, in searches, and where it is usual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from limner import Picture, open_model, paint, replay
from limner.denoisers.given import Given
from limner.errors import BadInput
from limner.levels import timestep_of
from limner.noise import Noise
from limner.tasks._generators import usual
from limner.tasks._paint import network_of
from limner.tasks._scored import Scorer

Get = Callable[[str], Path]
NOISE = Noise(5, [0, 3])


@pytest.fixture
def own(sd_folder: Get) -> Path:
    return sd_folder("own")


@pytest.fixture
def small(clip_folder: Path, own: Path) -> dict[str, Any]:
    """A search of latents whose diffusion model judges, too."""
    clip = dict(clip=str(clip_folder), judge="clip,score:2", views=2)
    return clip | dict(size="32x32", steps=5, precision="float32", generator="latent", model=own)


def pictures(b: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(b, 3, size, size, generator=torch.Generator().manual_seed(seed))


def loss(scorer: Scorer, prompt: str, how: str = "words", step: int = 0) -> torch.Tensor:
    side = scorer.size[0]
    (part,) = scorer(prompt, how).losses(pictures(2, side), NOISE, step)
    return part


def test_agrees_with_diffusers_networks(sd_folder: Get) -> None:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    model = open_model(sd_folder("sd1"))
    scorer = Scorer(model, 5, (model.size, model.size))
    judge = scorer("a cat", "words")
    parts = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "scheduler": DDPMScheduler}
    opened = (each.from_pretrained(sd_folder("sd1"), subfolder=n) for n, each in parts.items())
    unet, vae, scheduler = opened
    assert model.alpha_bars is not None
    seen = pictures(2, model.size)
    z = vae.encode(seen * 2 - 1).latent_dist.mean * vae.config.scaling_factor
    timestep = timestep_of(model.alpha_bars, judge.levels[0])
    assert timestep == round(0.9 * len(model.alpha_bars)) - 1
    n = NOISE.normal(tuple(z.shape[1:]), step=0, purpose="score")
    t = torch.tensor([int(timestep)] * 2)
    x = scheduler.add_noise(z, n, t)
    states = [model.encode_text([words]).expand(2, -1, -1) for words in ("", "a cat")]
    without, told = (unet(x, t, words).sample for words in states)
    epsilon = without + model.guidance_scale * (told - without)
    alpha_bar = scheduler.alphas_cumprod[int(timestep)]
    x0 = (x - (1 - alpha_bar).sqrt() * epsilon) / alpha_bar.sqrt()
    wanted = (z - x0).square().flatten(1).mean(1) / 2
    torch.testing.assert_close(loss(scorer, "a cat"), wanted.detach(), rtol=1e-3, atol=1e-5)


def test_is_told_the_words_or_nothing(own: Path) -> None:
    scorer = Scorer(open_model(own), 5, (64, 64))
    cat, dog, anything = (loss(scorer, *said) for said in (("a cat",), ("dog",), ("dog", "any")))
    assert torch.equal(cat, loss(scorer, "a cat:7"))  # one phrase weighs all there is
    assert torch.equal(anything, loss(scorer, "photo.png"))  # which has no words
    assert not any(torch.equal(a, b) for a, b in ((cat, dog), (cat, anything), (dog, anything)))
    both = loss(scorer, "a cat | dog:-1")
    assert not torch.equal(both, cat) and not torch.equal(both, loss(scorer, "a cat | dog"))
    model = scorer.model
    network, _ = network_of(model, 1.0)
    plain = Given(network, model.encode_text([""]))
    x, level = torch.randn(1, model.channels, 8, 8), scorer("", "any").levels[2]
    torch.testing.assert_close(scorer("dog", "any").denoiser(x, level), plain(x, level))


def test_a_model_without_guidance_is_asked_once(own: Path) -> None:
    model = replace(open_model(own), guidance_scale=1.0)
    scorer = Scorer(model, 5, (64, 64))
    told = Given(network_of(model, 1.0)[0], model.encode_text(["a cat"]))
    judge, x = scorer("a cat", "words"), torch.randn(1, model.channels, 8, 8)
    assert isinstance(judge.denoiser, Given)
    assert torch.equal(judge.denoiser(x, judge.levels[2]), told(x, judge.levels[2]))
    assert not isinstance(scorer("a cat:-1", "words").denoiser, Given)


def test_noise_falls_anew_with_each_prompt_of_a_schedule(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, float]] = []
    made = Scorer.__call__

    def watched(scorer: Scorer, prompt: str, how: str) -> Any:
        judge = made(scorer, prompt, how)

        def losses(pictures: torch.Tensor, noise: Noise, step: int) -> Any:
            seen.append((prompt, step, judge.levels[step].sigma))
            return judge.losses(pictures, noise, step)

        return SimpleNamespace(losses=losses)

    monkeypatch.setattr(Scorer, "__call__", watched)
    paint("a cat", schedule="2: dog", **small)
    alone = [made(Scorer(open_model(small["model"]), n, (32, 32)), "a cat", "any") for n in (2, 3)]
    sigmas = [level.sigma for judge in alone for level in judge.levels[:-1]]
    assert seen == [(["a cat", "dog"][i > 1], i, sigma) for i, sigma in enumerate(sigmas)]


def test_a_model_distilled_for_few_steps_judges_a_long_search(own: Path) -> None:
    few = replace(open_model(own), origin=4)
    judge = Scorer(few, 9, (64, 64))("a cat", "words")
    assert len({level.sigma for level in judge.levels}) == 10


def test_pictures_of_any_size_are_seen_at_one_that_the_model_knows(own: Path) -> None:
    model = open_model(own)
    for width, height in ((128, 128), (41, 37), (300, 90)):
        judge = Scorer(model, 4, (width, height))("a cat", "words")
        leaf = torch.rand(1, 3, height, width).requires_grad_()
        (part,) = judge.losses(leaf, Noise(0, [0]), 1)
        (gradient,) = torch.autograd.grad(part.sum(), leaf)
        assert bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 0
        longest = max(judge.encode(leaf).shape[2:]) * model.downscale
        assert model.size <= longest <= 1.5 * model.size + model.downscale


def test_refuses_a_model_that_must_be_shown_something(own: Path) -> None:
    with pytest.raises(BadInput, match=r"judge score cannot ask .* trained for inpainting"):
        Scorer(replace(open_model(own), beside=5), 4, (64, 64))


def test_moves_a_search_that_can_be_repeated(small: dict[str, Any], tmp_path: Path) -> None:
    def painted(**others: Any) -> torch.Tensor:
        return paint("a cat", **small | others)[0].pixels

    scored = painted()
    assert torch.equal(scored, painted())
    assert torch.equal(painted(judge="clip"), painted(judge="clip,score:0"))
    assert not torch.equal(scored, painted(judge="clip"))
    assert not torch.equal(scored, painted(judge="clip,score=any:2"))
    pair = paint("a cat", count=2, **small)
    alone = paint("a cat", first=1, **small)[0]
    torch.testing.assert_close(pair[1].pixels, alone.pixels, atol=0.02, rtol=0)
    said = alone.recipe
    assert said is not None and said["scores"] == [said["model"]]
    assert replay(alone.save(tmp_path / "out.png")).identical


def test_goes_on_to_the_same_bytes(small: dict[str, Any], tmp_path: Path) -> None:
    whole = paint("a cat", **small)[0]
    kept = tmp_path / "search.safetensors"

    def stop(progress: Any) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paint("a cat", save=kept, watch=stop, **small)
    assert torch.equal(paint("a cat", resume=kept, **small)[0].pixels, whole.pixels)


def test_is_usual_where_every_network_is_limners_own(clip_folder: Path, tmp_path: Path) -> None:
    def judges(picture: Picture) -> list[str]:
        assert picture.recipe is not None
        return [each.split("=")[0] for each in picture.recipe["arguments"]["judge"]]

    photo = Picture(pictures(1, 32)[0]).save(tmp_path / "photo.png")
    few: dict[str, Any] = dict(steps=1, views=1, size="32x32")
    assert judges(paint("a cat", generator="pixels", **few)[0]) == ["clip", "smooth", "score"]
    given = paint("a cat", generator="pixels", clip=str(clip_folder), **few)[0]
    assert judges(given) == ["clip", "smooth"]
    begun = paint("a cat", generator="pixels", start=photo, **few | dict(size=None))[0]
    assert judges(begun) == ["clip", "smooth"]  # or it would be pulled into limner's own world
    assert usual("stylegan").scored == "clip"  # its pictures are of another world


def test_alone_reads_the_words_but_not_as_any(small: dict[str, Any]) -> None:
    assert paint("a cat", **small | dict(judge="score"))
    with pytest.raises(BadInput, match="none reads the prompt"):
        paint("a cat", **small | dict(judge="score=any"))
    with pytest.raises(BadInput, match="give score=words, score=any"):
        paint("a cat", **small | dict(judge="score=folder"))
