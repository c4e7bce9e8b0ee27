"""A learned variance: a Gaussian's, which is known, and diffusers' scheduler, step by step."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn

from limner.denoisers import Reverse
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.denoisers.given import Given
from limner.denoisers.learned import Learned
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import CLEAN, Level, alpha_bars, level_at, vp_level, vp_levels
from limner.noise import Noise
from limner.samplers.ddpm import ddpm

TABLE = alpha_bars("cosine")
WIDTH = 0.5  # of the Gaussian


class Exact:
    """What x0 ~ N(0, s²) has: ε, and the v at which a step from `level` to `after` is as wide as
    the true p(x' | x): β·(α'²s² + σ'²)/(α²s² + σ²)."""

    def __init__(self, after: Level) -> None:
        self.after = after

    def __call__(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        level, after = level_at(TABLE, float(timesteps[0])), self.after
        x0 = GaussianMixture(torch.zeros(1, *x.shape[1:]), torch.tensor([WIDTH]), torch.ones(1))
        eps = (x - level.alpha * x0(x, level)) / level.sigma
        true = [(each.alpha * WIDTH) ** 2 + each.sigma**2 for each in (level, after)]
        v = 1 - math.log(true[1] / true[0]) / math.log(after.sigma / level.sigma)
        assert -1 <= v <= 1  # Nichol & Dhariwal 2021, section 3.1: β̃ and β are the extremes
        return torch.cat([eps, torch.full_like(eps, v)], 1)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("places", [(999, 900), (700, 300), (40, 0)])
def test_a_gaussian_s_step_is_as_wide_as_it_truly_is(places, scale):
    """In whatever family the levels are: at `scale` x, its standard deviation is `scale` times."""
    level, after = (vp_level(float(TABLE[place])) for place in places)
    x = torch.randn(2, 1, 3, 3, dtype=torch.float64)
    said = Learned(Exact(after), TABLE)
    scaled = [Level(each.alpha * scale, each.sigma * scale) for each in (level, after)]
    x0, variance = said.reverse(scale * x, *scaled)
    mean = level.alpha * WIDTH**2 / ((level.alpha * WIDTH) ** 2 + level.sigma**2) * x
    torch.testing.assert_close(x0, mean, rtol=1e-4, atol=1e-6)
    of_x = [(each.alpha * WIDTH) ** 2 + each.sigma**2 for each in (level, after)]
    a = level.alpha / after.alpha
    beta = level.sigma**2 - (a * after.sigma) ** 2
    wanted = scale**2 * beta * of_x[1] / of_x[0]
    torch.testing.assert_close(variance, torch.full_like(x, wanted), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(said(scale * x, scaled[0]), x0)
    assert isinstance(said, Reverse)


def test_few_steps_of_the_true_variance_keep_a_gaussian_s_spread():
    """In 4 steps, where the posterior's variance is far too small: x0's own is s², and each x' has
    α'²s² + σ'²."""

    class Gaussian:
        def __call__(self, x, level):
            return self.reverse(x, level, CLEAN)[0]

        def reverse(self, x, level, after):
            return Learned(Exact(after), TABLE).reverse(x, level, after)

    levels, noise = vp_levels(TABLE, 5)[:-1], Noise(0, range(40))
    start = math.sqrt((levels[0].alpha * WIDTH) ** 2 + levels[0].sigma ** 2)
    x = start * noise.normal((1, 32, 32)).double()
    for state in ddpm(Gaussian(), x, levels, noise=noise):
        wanted = math.hypot(state.level.alpha * WIDTH, state.level.sigma)
        assert float(state.x.std()) == pytest.approx(wanted, rel=0.01)
    exact = GaussianMixture(torch.zeros(1, 1, 32, 32), torch.tensor([WIDTH]), torch.ones(1))
    *_, plain = ddpm(exact, x, levels, noise=noise)
    assert float(plain.x.std()) < 0.9 * wanted


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 4, 3, padding=1)
    )
    return layers.double().requires_grad_(False)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("clip", [False, True])
def test_is_diffusers(network, monkeypatch, spacing, clip):
    theirs = DDPMScheduler(
        beta_schedule="scaled_linear",
        variance_type="learned_range",
        clip_sample=clip,
        timestep_spacing=spacing,
    )
    theirs.set_timesteps(10)
    noise = Noise(5, range(2))
    x = first = noise.normal((2, 6, 6)).double()
    drawn = iter(range(100))
    monkeypatch.setattr(
        sys.modules[DDPMScheduler.__module__],
        "randn_tensor",
        lambda shape, **_: noise.normal(shape[1:], step=next(drawn), purpose="step").double(),
    )

    def asked(x, timesteps):
        return network(x + timesteps.double().view(-1, 1, 1, 1) / 1000).tanh()  # v from -1 to 1

    found = []
    for t in theirs.timesteps:
        x = theirs.step(asked(x, t.expand(2).float()), t, x, return_dict=False)[0]
        found.append(x)
    table = theirs.alphas_cumprod.double()
    learned = Learned(asked, table, 1.0 if clip else math.inf)
    states = list(ddpm(learned, first, vp_levels(table, 10, spacing), noise=noise))
    assert states[-1].x.std() > 0.1
    # "trailing" ends at timestep 99, where diffusers adds noise to the last step, too
    for state, wanted in list(zip(states, found))[: 9 if spacing == "trailing" else 10]:
        torch.testing.assert_close(state.x, wanted, rtol=1e-4, atol=1e-4)


def test_without_a_variance_it_is_the_plain_network(network):
    table = alpha_bars("linear")
    learned = Learned(lambda x, t: network(x), table)
    plain = Network(Plain(lambda x, t, _: network(x)[:, :2]), "epsilon", table)
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    for level in (vp_level(0.5), Level(1.0, 3.0), Level(0.3, 0.7)):
        wanted = Given(plain, torch.zeros(1, 1, 1, dtype=x.dtype))(x, level)
        torch.testing.assert_close(learned(x, level), wanted)


def test_pure_noise_says_nothing():
    with pytest.raises(BadInput, match="cannot start from pure noise"):
        Learned(lambda x, t: x, TABLE)(torch.zeros(1, 2, 2, 2), Level(0.0, 1.0))
