"""Three independent references for samplers: the exact flow of a Gaussian mixture, the exact spread
of a Gaussian, and diffusers' scheduler of the same kind on one tiny network.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.denoisers.given import Given
from limner.denoisers.network import Network
from limner.levels import Level, alpha_bars
from limner.noise import Noise

TABLE = alpha_bars("scaled_linear")


def levels_of(family, steps):
    """σ/α from 10 to .1 evenly in its logarithm; "pure" is flow from α = 0 on, evenly in time."""
    if family == "pure":
        return [Level(1 - float(t), float(t)) for t in np.linspace(1, 0.1, steps + 1)]
    ratios = [float(r) for r in np.geomspace(10, 0.1, steps + 1)]
    scale = {"vp": lambda r: math.hypot(1, r), "ve": lambda r: 1.0, "flow": lambda r: 1 + r}[family]
    return [Level(1 / scale(r), r / scale(r)) for r in ratios]


@pytest.fixture(scope="session")
def path():
    return levels_of


@pytest.fixture(scope="session")
def mixture():
    draw = torch.Generator().manual_seed(0)
    return GaussianMixture(
        means=2 * torch.randn(3, 1, 2, 2, generator=draw, dtype=torch.float64),
        stds=torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64),
        weights=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    )


def exact_flow(denoiser, x, here, there):
    """The probability flow by scipy, in z = x/(α+σ) over t = σ/(α+σ), where dz/dt = (z − D)/t."""

    def slope(t, z):
        z = torch.from_numpy(z).reshape(x.shape)
        return ((z - denoiser(z, Level(1 - t, t))) / t).numpy().ravel()

    z = (x / (here.alpha + here.sigma)).numpy().ravel()
    span = (here.time, there.time)
    flow = solve_ivp(slope, span, z, method="DOP853", rtol=1e-11, atol=1e-11)
    return torch.from_numpy(flow.y[:, -1]).reshape(x.shape) * (there.alpha + there.sigma)


@pytest.fixture(scope="session")
def order(mixture):
    """order(sampler, family) → slope of log error over log steps from 128 to 256, last error."""

    def measured(sampler, family):
        noise = Noise(0, range(3))
        errors = []
        for steps in (128, 256):
            levels = levels_of(family, steps)
            x = levels[0].sigma * noise.normal((1, 2, 2)).double()
            *_, end = sampler(mixture, x, levels, noise=noise)
            true = exact_flow(mixture, x, levels[0], levels[-1])
            errors.append(float((end.x - true).abs().max()))
        return math.log2(errors[0] / errors[1]), errors[1]

    return measured


class UnitNoise:
    """In the place of Noise: picture i + 1 gets 1 at step i and every other picture nothing."""

    def __init__(self, steps):
        self.rows = steps + 1

    def normal(self, shape, *, step=0, purpose="start"):
        z = torch.zeros(self.rows, *shape)
        z[step + 1] = 1
        return z


@pytest.fixture(scope="session")
def spread_error():
    """spread_error(sampler, family, steps) → |standard deviation reached − true| for x0 ~ N(0, ½²).

    A Gaussian's denoiser is linear, so x at the end is a weighted sum of the start and the noise of
    every step. One picture carries each of them, and the weights' squares add up to the variance:
    exact, with nothing drawn.
    """
    gaussian = GaussianMixture(*(torch.full(s, v).double() for s, v in _GAUSSIAN))

    def measured(sampler, family, steps, denoiser=gaussian, **options):
        levels = levels_of(family, steps)
        x = torch.zeros(steps + 1, 1, 1, 1, dtype=torch.float64)
        x[0] = math.hypot(levels[0].alpha * 0.5, levels[0].sigma)
        *_, end = sampler(denoiser, x, levels, noise=UnitNoise(steps), **options)
        true = math.hypot(levels[-1].alpha * 0.5, levels[-1].sigma)
        return abs(float(end.x.square().sum().sqrt()) - true)

    return measured


_GAUSSIAN = [((1, 1, 1, 1), 0.0), ((1,), 0.5), ((1,), 1.0)]


@pytest.fixture(scope="session")
def tiny_unet():
    """A random UNet2DConditionModel of a few thousand parameters, in float64."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    assert sum(p.numel() for p in unet.parameters()) < 20_000
    return unet.double().eval().requires_grad_(False)


@pytest.fixture()
def against(tiny_unet, monkeypatch):
    """against(scheduler, sampler, levels, …) → largest difference to diffusers over the same steps.

    Both are given the same U-Net, words, first noise and step noise; the levels are limner's own.
    """
    noise = Noise(5, range(2))
    words = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1)).double()
    n = noise.normal((4, 8, 8)).double()

    def theirs(scheduler, timesteps, x):
        drawn = iter(range(10_000))
        monkeypatch.setattr(
            sys.modules[type(scheduler).__module__],
            "randn_tensor",
            lambda shape, **_: noise.normal(shape[1:], step=next(drawn), purpose="step").double(),
            raising=False,
        )
        for t in timesteps:
            scaled = getattr(scheduler, "scale_model_input", lambda x, t: x)(x, t)
            said = tiny_unet(scaled, t, encoder_hidden_states=words).sample
            x = scheduler.step(said, t, x, return_dict=False)[0]
        return x

    def compared(scheduler, sampler, levels, exploding=False, table=TABLE, **options):
        """exploding: the scheduler keeps x at α = 1."""
        prediction = scheduler.config.get("prediction_type", "flow")
        network = Network(tiny_unet, prediction, table)
        x = n * getattr(scheduler, "init_noise_sigma", 1)
        expected = theirs(scheduler, scheduler.timesteps, x)
        x = x * levels[0].alpha if exploding else x
        *_, end = sampler(Given(network, words), x, levels, noise=noise, **options)
        assert end.x.std() > 0.1  # it is no comparison of nothing with nothing
        return float((end.x - expected).abs().max())

    return compared
