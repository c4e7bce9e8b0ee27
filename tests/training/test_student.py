"""The student: on a Gaussian, whose flow is known, it learns the flow; its folder paints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
        channels=SHAPE[0], size=SHAPE[1], downscale=1,
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
    recipe = Student(Captioned(Bars(4000), 1), teacher(**told), network, network, **how)
    recipe.export = lambda folder: folder.mkdir()  # type: ignore[method-assign]
    return recipe, network


@pytest.mark.parametrize("segments", [2, 4])
def test_on_a_gaussian_it_learns_the_flow_itself(tmp_path: Path, segments: int) -> None:
    """With E[x0|x] = αs²/(α²s² + σ²)·x, DDIM's step scales x by (α'αs² + σ'σ)/(α²s² + σ²)."""
    recipe, network = made(8, segments)
    list(train(recipe, PLAN, tmp_path))
    levels = recipe.levels
    for first in range(0, 8, recipe.length):
        scale = 1.0
        for here, after in pairwise(levels[first : first + recipe.length + 1]):
            variance = (here.alpha * WIDTH) ** 2 + here.sigma**2
            scale *= (after.alpha * here.alpha * WIDTH**2 + after.sigma * here.sigma) / variance
        start, end = levels[first], levels[first + recipe.length]
        turned = end.alpha * start.alpha + end.sigma * start.sigma
        lever = end.alpha * start.sigma - start.alpha * end.sigma
        learned = turned - lever * network.slope[first].item()
        assert abs(learned - scale) < 0.01, first
    assert network.shift.abs().max() < 0.01


def test_the_guided_teacher_is_what_it_learns(tmp_path: Path) -> None:
    """With one interval to a segment the aim is the teacher's v + 3·(what the words add)."""
    recipe, network = made(4, 4, told=0.1, guidance_scale=3.0)
    list(train(recipe, replace(PLAN, steps=400), tmp_path))
    assert (network.shift - 0.3).abs().max() < 0.02


def test_the_teacher_goes_on_from_where_the_student_is() -> None:
    recipe, network = made(4, 2)
    network.shift.data.fill_(0.7)
    seen: list[Tensor] = []

    def watched(x: Tensor, timesteps: Tensor, **told: Any) -> Any:
        seen.append(x)
        return exact_v(x, timesteps, **told)

    recipe.teacher.unet = watched
    batch = recipe.batch(0, 3, 0, 1)
    losses: list[Tensor] = []
    recipe.learn("student", batch, 0, losses.append)
    start, end = recipe.levels[0], recipe.levels[2]
    denoised = start.alpha * batch.noise - start.sigma * 0.7
    noise = (batch.noise - start.alpha * denoised) / start.sigma
    assert len(losses) == 2 and all(each.requires_grad for each in losses)
    assert torch.equal(seen[0][:3], batch.noise)
    second = seen[len(seen) // 2]  # of as many calls in either segment
    torch.testing.assert_close(second[:3], end.alpha * denoised + end.sigma * noise)


def test_processes_have_captions_and_noise_of_their_own() -> None:
    recipe, _ = made(16, 4)
    a, b, again = recipe.batch(5, 2, 0, 2), recipe.batch(5, 2, 1, 2), recipe.batch(5, 2, 0, 2)
    assert not torch.equal(a.noise, b.noise) and torch.equal(a.noise, again.noise)
    whole = recipe.data.step(5, 4, 0, 1)[1]
    assert a.words + b.words == whole


def test_segments_that_do_not_divide_are_named() -> None:
    with pytest.raises(BadInput, match="3 segments of 16 intervals: give a multiple, such as 6"):
        made(16, 3)


def test_what_is_trained_is_an_adapter_that_paints_and_goes_on(
    sd_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = sd_folder("own")
    plan = replace(PLAN, steps=2, batch_size=4, save_every=1, preview_every=2)
    given = {"model": str(folder), "segments": 2, "intervals": 4, "rank": 2}
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
