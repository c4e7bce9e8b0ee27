"""The student: on a Gaussian, whose flow is known, it learns the flow; its folder paints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limner import Picture, generate, open_model, replay
from limner.errors import BadInput
from limner.levels import alpha_bars, zero_terminal
from limner.models.adapter import open_adapter
from limner.training._data import Captioned
from limner.training.loop import Plan, train
from limner.training.student import Student, student

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

TABLE = zero_terminal(alpha_bars("scaled_linear"))
WIDTH = 0.6  # the standard deviation of the latents' Gaussian
SHAPE = (2, 4, 4)
PLAN = Plan(
    steps=800, batch_size=8, learning_rate=0.03, warmup_steps=5, decay=0.6, ema=0.98, seed=1,
    weight_decay=0.0, save_every=10_000,
)  # fmt: skip


class Gaussian(Bars):
    """Latents of one Gaussian, in the place of pictures."""

    def batch(self, indices: Any) -> tuple[np.ndarray, list[str]]:
        rows = [np.random.Generator(np.random.Philox(key=i)).normal(size=SHAPE) for i in indices]
        return (WIDTH * np.stack(rows)).astype(np.float32), ["a bar"] * len(rows)


def exact_v(x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> Any:
    """v of x0 ~ N(0, WIDTH²), and a shift by the condition's mean: guidance doubles that."""
    alpha_bar = TABLE[timesteps.long()].float().view(-1, 1, 1, 1)
    alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    variance = alpha**2 * WIDTH**2 + sigma**2
    v = alpha * sigma * (1 - WIDTH**2) / variance * x
    return SimpleNamespace(sample=v + encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1))


def teacher(told: float = 0.0, guidance_scale: float = 1.0) -> Any:
    """In the place of a TextToImage: "" is the state 0, every other text is `told`."""

    def encode_text(words: list[str]) -> Tensor:
        return torch.tensor([told if text else 0.0 for text in words])[:, None, None]

    return SimpleNamespace(
        unet=exact_v, prediction="v_prediction", alpha_bars=TABLE, guidance_scale=guidance_scale,
        encode_text=encode_text, device=torch.device("cpu"), decode=lambda x: x,
    )  # fmt: skip


class Linear(nn.Module):
    """v = a·x + b, each its own at each of so many levels."""

    def __init__(self, intervals: int) -> None:
        super().__init__()
        self.slope, self.shift = (nn.Parameter(torch.zeros(intervals)) for _ in range(2))
        self.intervals = intervals

    def forward(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> Any:
        place = self.intervals - ((1 + timesteps) / 1000 * self.intervals).round().long()
        slope, shift = (each[place].view(-1, 1, 1, 1) for each in (self.slope, self.shift))
        return SimpleNamespace(sample=slope * x + shift)


def made(intervals: int, segments: int, **told: float) -> tuple[Student, Linear]:
    torch.manual_seed(0)
    network = Linear(intervals)
    how = {"segments": segments, "intervals": intervals, "seed": 1}
    recipe = Student(Captioned(Gaussian(4000), 1), teacher(**told), network, network, **how)
    recipe.export = lambda folder: folder.mkdir()  # type: ignore[method-assign]
    return recipe, network


@pytest.mark.parametrize("segments", [2, 4])
def test_on_a_gaussian_it_learns_the_flow_itself(tmp_path: Path, segments: int) -> None:
    """With E[x0|x] = αs²/(α²s² + σ²)·x, DDIM's step scales x by (α'αs² + σ'σ)/(α²s² + σ²)."""
    recipe, network = made(8, segments)
    list(train(recipe, PLAN, tmp_path))
    levels, scale = recipe.levels, 1.0
    for place in reversed(range(8)):
        here, after = levels[place : place + 2]
        variance = (here.alpha * WIDTH) ** 2 + here.sigma**2
        step = (after.alpha * here.alpha * WIDTH**2 + after.sigma * here.sigma) / variance
        scale = step * (1.0 if place % recipe.length == recipe.length - 1 else scale)
        end = levels[(place // recipe.length + 1) * recipe.length]
        turned = end.alpha * here.alpha + end.sigma * here.sigma
        lever = end.alpha * here.sigma - here.alpha * end.sigma
        learned = turned - lever * network.slope[place].item()
        assert abs(learned - scale) < 0.01, place
    assert network.shift.abs().max() < 0.01


def test_the_guided_teacher_is_what_it_learns(tmp_path: Path) -> None:
    """In a segment's last interval the aim is the teacher's: v + 3·(what the words add)."""
    recipe, network = made(4, 4, told=0.1, guidance_scale=3.0)
    list(train(recipe, replace(PLAN, steps=400), tmp_path))
    assert (network.shift - 0.3).abs().max() < 0.02


def test_segments_take_turns_and_all_of_their_levels_come() -> None:
    recipe, _ = made(16, 4)
    batches = [recipe.batch(step, 3, 0, 1) for step in range(400)]
    assert [each.place // 4 for each in batches[:6]] == [0, 1, 2, 3, 0, 1]
    assert {each.place for each in batches} == set(range(16))


def test_processes_share_a_level_and_no_noise() -> None:
    recipe, _ = made(16, 4)
    a, b = recipe.batch(5, 2, 0, 2), recipe.batch(5, 2, 1, 2)
    whole = recipe.batch(5, 4, 0, 1)
    assert a.place == b.place == whole.place
    assert torch.equal(torch.cat([a.noise, b.noise]), whole.noise)


def test_segments_that_do_not_divide_are_named() -> None:
    with pytest.raises(BadInput, match="3 segments of 16 intervals: give a multiple, such as 24"):
        made(16, 3)


def test_what_is_trained_is_an_adapter_that_paints_and_goes_on(
    sd_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = sd_folder("own")
    plan = replace(PLAN, steps=2, batch_size=4, save_every=1, preview_every=2)
    given = {"model": str(folder), "segments": 2, "intervals": 4, "rank": 2, "latents": 8}
    list(student(Bars(16, 32), tmp_path / "whole", plan, **given))
    first = student(Bars(16, 32), tmp_path / "parts", plan, **given)
    next(first)
    first.close()
    list(student(Bars(16, 32), tmp_path / "parts", plan, **given, resume=True))
    files = [tmp_path / run / "model" / "adapter.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(list((tmp_path / "whole" / "previews").iterdir())) == 1

    name = f"{folder}+{tmp_path / 'whole' / 'model'}"
    model = open_model(name)
    assert (model.steps, model.guidance_scale, model.sampler) == (2, 1.0, "ddim")
    assert model.fingerprint != open_model(folder).fingerprint
    picture = generate("a bar", model=name)[0]
    assert picture.recipe is not None
    assert picture.recipe["arguments"]["steps"] == 2
    assert picture.recipe["arguments"]["sampler"] == "ddim"
    assert picture.recipe["model"]["name"] == name
    assert replay(picture).identical
    with pytest.raises(BadInput, match="give that model yourself"):
        replay(Picture(picture.pixels, picture.recipe | {"model": {"name": f"{folder}+gone"}}))
    with pytest.raises(BadInput, match="one at a time"):
        open_adapter(tmp_path / "whole" / "model", model)
