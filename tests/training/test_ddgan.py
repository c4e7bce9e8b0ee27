"""Denoising diffusion GANs: chain and losses in closed form, resuming, sampling in few steps."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, nn

from limner import BadInput, replay, sample
from limner.cli import main
from limner.levels import vp_level
from limner.models.ddgan import ladder, open_ddgan
from limner.nets import ddgan as nets
from limner.noise import Noise
from limner.samplers.ddpm import ddpm
from limner.training._data import Captioned
from limner.training._pixels import build_unet
from limner.training.ddgan import Ladder, RecipeOfDdgan, ddgan
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, ema=0.5, save_every=1, seed=3
)
TINY: dict[str, Any] = dict(width=8, layers=1, noise=6, judge=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("ddgan") / "run"
    list(ddgan(Bars(64, 12), run, replace(PLAN, preview_every=2), **TINY))
    assert len(list((run / "previews").iterdir())) == 1
    return run / "model"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_levels_are_the_process_s(count: int) -> None:
    """ᾱ(t) = exp(−∫β) of the variance-preserving SDE with β(t) from .1 to 20."""
    levels = ladder(count)
    assert len(levels) == count + 1 and levels[-1] == (1, 0)
    for i, level in enumerate(levels[:-1]):
        integral, _ = quad(lambda t: 0.1 + 19.9 * t, 0, 1 - i / count)
        assert level == pytest.approx(vp_level(math.exp(-integral)), rel=1e-9)


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_pairs_and_posterior_are_those_of_the_joint_gaussian(t: int) -> None:
    """x_{t−1} and x_t given x0 are jointly normal; the one given the other: Schur's complement."""
    levels = ladder(4)
    chain, times = Ladder(levels), torch.tensor([t])
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1).double()
    columns = [chain.noised(*each) for each in ((one, times, zero, zero), (zero, times, one, zero),
                                                (zero, times, zero, one))]  # fmt: skip
    mix = np.array([[float(before), float(x)] for before, x in columns])
    mean, covariance = mix[0], mix[1:].T @ mix[1:]
    after, here = levels[4 - t + 1], levels[4 - t]
    assert mean == pytest.approx([after.alpha, here.alpha])
    assert np.diag(covariance) == pytest.approx([after.sigma**2, here.sigma**2], abs=1e-12)
    x0, x = 0.3, -0.8
    gain = covariance[0, 1] / covariance[1, 1]
    wanted = mean[0] * x0 + gain * (x - mean[1] * x0)
    left = covariance[0, 0] - gain * covariance[1, 0]
    found = chain.posterior(x0 * one, x * one, times, zero)
    assert float(found) == pytest.approx(wanted, abs=1e-9)
    moved = chain.posterior(x0 * one, x * one, times, one) - found
    assert float(moved) ** 2 == pytest.approx(max(left, 0), abs=1e-9)


def test_the_posterior_is_the_step_of_the_sampler() -> None:
    levels, noise = ladder(4), Noise(1, range(3))
    chain, x = Ladder(levels), Noise(2, range(3)).normal((1, 2, 2)).double()
    x0 = torch.tanh(x)
    for k in range(4):
        (state, *_) = ddpm(lambda x, level: x0, x, levels, noise=noise, start=k)
        z = noise.normal((1, 2, 2), step=k, purpose="step").double()
        found = chain.posterior(x0, x, torch.full((3,), 4 - k), z)
        torch.testing.assert_close(found, state.x)


class Weighs(nn.Module):
    """D = w·Σ x_{t−1}."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, before: Tensor, x: Tensor, times: Tensor) -> Tensor:
        return self.weight * before.sum((1, 2, 3))


def recipe(judge: nn.Module | None = None, **more: Any) -> RecipeOfDdgan:
    torch.manual_seed(0)
    unet = build_unet(12, 3, 3, 8, 1, told=True)
    generator = nets.Generator(unet, nets.Mapping(6, 32))
    judged: Any = judge or nets.Discriminator(3, 12, 4)
    return RecipeOfDdgan(Captioned(Bars(64, 12), 3), generator, judged, count=4, **more)


@pytest.mark.parametrize(
    ("step", "penalty", "punished"),
    [(0, 0.2, True), (1, 0.2, False), (15, 0.2, True), (15, 0.0, False)],
)
def test_the_discriminator_s_loss_and_its_gradient(
    step: int, penalty: float, punished: bool
) -> None:
    """Of a linear one: ∇D is w everywhere, so that R1 is γ/2·w²·(numbers of a picture)."""
    judge = Weighs(0.01)
    made = recipe(judge, penalty=penalty)
    batch = made.batch(3, 4, 0, 1)
    torch.manual_seed(7)
    drawn = made._drawn(batch["x"], batch["t"]).detach()
    torch.manual_seed(7)
    losses: list[Tensor] = []
    told = made.learn("discriminator", batch, step, losses.append)
    sums = [each.double().sum((1, 2, 3)) for each in (batch["before"], drawn)]
    weight = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    wanted = torch.log1p((-weight * sums[0]).exp()).mean()
    wanted = wanted + torch.log1p((weight * sums[1]).exp()).mean()
    if punished:
        wanted = wanted + penalty / 2 * weight**2 * 3 * 12 * 12
    assert ("slope" in told) == punished
    torch.testing.assert_close(losses[0].detach().double(), wanted.detach(), rtol=1e-4, atol=1e-5)
    (found,) = torch.autograd.grad(losses[0], judge.weight)
    (slope,) = torch.autograd.grad(wanted, weight)
    torch.testing.assert_close(found.double(), slope, rtol=1e-3, atol=1e-3)


def test_the_generator_s_loss_and_its_gradient() -> None:
    """−ln of how real it looks; the gradient reaches x0 by the posterior's weight on it."""
    made = recipe(Weighs(0.02))
    batch = made.batch(3, 4, 0, 1)
    x, t, chain = batch["x"], batch["t"], made.chain
    torch.manual_seed(7)
    losses: list[Tensor] = []
    made.learn("generator", batch, 0, losses.append)
    torch.manual_seed(7)
    z = torch.randn(4, 6)
    x0 = made.generator(x, (250.0 * t).float(), z)
    before = chain.posterior(x0, x, t, torch.randn_like(x))
    said = 0.02 * before.sum((1, 2, 3))
    wanted = torch.log1p((-said).exp()).mean()
    torch.testing.assert_close(losses[0], wanted)
    (found,) = torch.autograd.grad(wanted, x0, retain_graph=True)
    weight = chain.alpha[t - 1] * (1 - (chain.alpha[t] / chain.alpha[t - 1]) ** 2
                                   * (chain.sigma[t - 1] / chain.sigma[t]) ** 2)  # fmt: skip
    slope = -0.02 * torch.sigmoid(-said.double()) * weight / 4
    torch.testing.assert_close(found[:, 0, 0, 0].double(), slope, rtol=1e-3, atol=1e-9)
    last = made.generator.mapping.layers[-1].weight
    (moved,) = torch.autograd.grad(losses[0], last)
    assert bool(moved.any())  # z's way learns, too


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    made = recipe()
    whole = made.batch(5, 8, 0, 1)
    halves = [made.batch(5, 4, rank, 2) for rank in (0, 1)]
    for key, value in whole.items():
        assert torch.equal(value, torch.cat([half[key] for half in halves]))
    times = torch.cat([made.batch(step, 8, 0, 1)["t"] for step in range(50)])
    assert set(times.tolist()) == {1, 2, 3, 4}


def test_resumed_training_repeats_the_uninterrupted_one(model: Path, tmp_path: Path) -> None:
    first = ddgan(Bars(64, 12), tmp_path / "run", PLAN, **TINY)
    next(first)
    first.close()
    list(ddgan(Bars(64, 12), tmp_path / "run", PLAN, resume=True, **TINY))
    for name in ("diffusion_pytorch_model.safetensors", "mapping.safetensors"):
        assert (tmp_path / "run" / "model" / name).read_bytes() == (model / name).read_bytes()


def test_it_opens_here_and_in_diffusers(model: Path) -> None:
    from diffusers import UNet2DModel

    opened = open_ddgan(model)
    assert (opened.count, opened.width, opened.channels, opened.size) == (4, 6, 3, 12)
    x, z = torch.randn(2, 3, 12, 12), torch.randn(2, 6)
    theirs = UNet2DModel.from_pretrained(model).eval()
    told = opened.generator.mapping(z)
    with torch.no_grad():
        wanted = theirs(x, torch.full((2,), 750.0), class_labels=told).sample.tanh()
        torch.testing.assert_close(opened.draw(x, 1, z), wanted)


@pytest.mark.parametrize("steps", [None, 1, 2, 4])
def test_it_is_sampled_in_few_steps(model: Path, tmp_path: Path, steps: int | None) -> None:
    seen: list[tuple[int, int]] = []
    made = sample(
        model, count=9, seed=1, steps=steps, watch=lambda p: seen.append((p.step, p.total))
    )
    run = steps or 4
    assert seen == [(k + 1, 2 * run) for k in range(2 * run)]  # nine pictures in two parts
    assert made[8].recipe is not None
    assert made[8].recipe["arguments"]["steps"] == run
    assert made[8].recipe["arguments"]["sampler"] == "ddpm"
    assert replay(made[8].save(tmp_path / "a.png")).psnr > 60
    alone = sample(model, first=8, seed=1, steps=steps)[0]
    torch.testing.assert_close(alone.pixels, made[8].pixels, rtol=0, atol=1e-4)
    if steps == 1:  # what it draws of noise, and nothing more
        opened, noise = open_ddgan(model), Noise(1, [8])
        with torch.no_grad():
            x = noise.normal((3, 12, 12))
            x0 = opened.draw(x, 0, noise.normal((6,), step=0, purpose="z"))
        torch.testing.assert_close(alone.pixels, opened.decode(x0)[0])


def test_the_commands(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    small = "--pixels 16 --batch-size 2 --steps 1 --width 8 --layers 1 --judge 4 --grey"
    said = f"train ddgan --data world:faces {small} -o run"
    assert main(said.split()) == 0
    capsys.readouterr()
    assert main("sample run/model --count 2 --steps 2 -o a.png".split()) == 0  # noqa: SIM905
    assert sorted(p.name for p in Path().glob("a*")) == ["a-1.png", "a-2.png"]
    assert main("sample run/model --steps 3 -o b.png".split()) == 2  # noqa: SIM905
    assert "give 1, 2, 4" in capsys.readouterr().err


def test_bad_input_is_one_line(model: Path, tmp_path: Path) -> None:
    data, broken = Bars(24, 12), tmp_path / "broken"
    shutil.copytree(model, broken)
    card = json.loads((model / "limner.json").read_text())
    (broken / "limner.json").write_text(json.dumps(card | {"levels": "four"}))
    for call, message in (
        (lambda: list(ddgan(data, tmp_path / "a", PLAN, levels=0)), "levels 0"),
        (lambda: list(ddgan(data, tmp_path / "a", PLAN, penalty=-1)), "penalty -1"),
        (lambda: list(ddgan(data, tmp_path / "a", PLAN, width=9)), "width 9"),
        (lambda: list(ddgan(Bars(24, 13), tmp_path / "a", PLAN)), "pixels 13"),
        (lambda: sample(model, steps=3), "which learned 4 levels: give 1, 2, 4"),
        (lambda: sample(model, sampler="heun"), "heun asks for its mean: give ddpm"),
        (lambda: sample(tmp_path), "no limner.json"),
        (lambda: open_ddgan(tmp_path), "no folder that limner train ddgan wrote"),
        (lambda: open_ddgan(broken), "no folder that limner train ddgan wrote"),
    ):
        with pytest.raises(BadInput, match=message):
            call()
    assert not (tmp_path / "a").exists()
