"""Requests painted in one pass: each as if alone, its noise bit for bit, and replay repeats it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import generate, open_model, replay
from limner._rooms import names
from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import psnr
from limner.tasks import Progress
from limner.tasks import _side_by_side as side
from limner.tasks._side_by_side import asked, paint_together, passes

SMALL: dict[str, Any] = dict(steps=3, size=(32, 32), precision="float32")
ASKED: list[dict[str, Any]] = [
    dict(prompt="a red cube", seed=4),
    dict(prompt="a cat", seed=9, first=5, count=3),
    dict(prompt="a dog", seed=4, negative="red", count=2),
]


@pytest.fixture(scope="module")
def model(sd_folder: Callable[[str], Path]) -> TextToImage:
    return open_model(sd_folder("own"))


def together(model: TextToImage, **options: Any) -> list[list[Any]]:
    requests = [asked(**each, model=model, **SMALL, **options) for each in ASKED]
    return paint_together(requests, [None] * len(requests))


@pytest.mark.parametrize("sampler", names("samplers"))
def test_each_picture_is_the_one_it_is_alone(model: TextToImage, sampler: str) -> None:
    made = together(model, sampler=sampler)
    for each, pictures in zip(ASKED, made):
        alone = generate(**each, model=model, sampler=sampler, **SMALL)
        assert len(alone) == len(pictures)
        for one, other in zip(alone, pictures):
            assert psnr(one.pixels, other.pixels) >= 50
            assert one.recipe is not None
            told = {"batch", "among"}
            kept = {name: value for name, value in other.recipe.items() if name not in told}
            assert kept == {name: v for name, v in one.recipe.items() if name not in told}


def test_the_noise_is_the_same_bit_for_bit(
    model: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.Tensor] = []
    real = Noise.normal

    def normal(self: Noise, shape: Any, **options: Any) -> torch.Tensor:
        drawn.append(real(self, shape, **options))
        return drawn[-1]

    monkeypatch.setattr(Noise, "normal", normal)
    together(model, sampler="ddpm")  # noise in each step
    several, row = list(drawn), 0
    for each in ASKED:
        drawn.clear()
        alone = generate(**each, model=model, sampler="ddpm", **SMALL)
        assert len(drawn) == len(several)
        for one, all_ in zip(drawn, several):
            assert torch.equal(one, all_[row : row + len(alone)])
        row += len(alone)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_replay_repeats_it(model: TextToImage, precision: str, tmp_path: Path) -> None:
    requests = [asked(**each, model=model, **SMALL | {"precision": precision}) for each in ASKED]
    for i, pictures in enumerate(paint_together(requests, [None] * 3)):
        found = replay(pictures[-1].save(tmp_path / f"{i}.png"), model=model)
        assert found.identical, found.psnr


def test_the_recipe_says_nothing_of_the_others(model: TextToImage) -> None:
    recipe = together(model)[0][0].recipe
    assert recipe["among"] == [0, 6]
    assert "cat" not in str(recipe) and "dog" not in str(recipe)


def test_replay_refuses_a_changed_place(model: TextToImage, tmp_path: Path) -> None:
    import dataclasses

    picture = together(model)[0][0]
    other = together(model)[1][0]  # so that it differs alone
    for among in ([0, 9], [3, 3], [-1, 2], ["0", 2], 7, None, [0]):
        changed = dataclasses.replace(other, recipe=picture.recipe | {"among": among})
        with pytest.raises(BadInput):
            replay(changed, model=model)


def test_what_shares_a_pass(model: TextToImage) -> None:
    def one(prompt: str = "a cat", **options: Any) -> side.Request:
        return asked(prompt, model=model, **SMALL | options)

    long = one(" ".join(["cat"] * 40))  # a second window of the tokenizer's 30 tokens
    requests = [one(), one("a dog", seed=5), long, one(steps=4), one(count=7), one("a cat:2")]
    assert passes(requests) == [[0, 1], [2], [3], [4], [5]]
    with pytest.raises(BadInput, match="several shapes"):
        paint_together(requests[1:3], [None, None])
    with pytest.raises(BadInput, match="several parts"):
        one("a cat | a dog")
    with pytest.raises(BadInput, match="one pass"):
        one(count=9)


def test_each_is_watched_apart_and_one_that_raises_stops_all(model: TextToImage) -> None:
    seen: list[list[Progress]] = [[], [], []]
    requests = [asked(**each, model=model, **SMALL) for each in ASKED]
    made = paint_together(requests, [one.append for one in seen])
    for each, progress, pictures in zip(ASKED, seen, made):
        assert [(one.step, one.total) for one in progress] == [(1, 3), (2, 3), (3, 3)]
        previews = progress[-1].preview()
        assert len(previews) == each.get("count", 1)
        assert psnr(previews[0].pixels, pictures[0].pixels) > 40

    def stop(progress: Progress) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        paint_together(requests, [None, stop, None])
