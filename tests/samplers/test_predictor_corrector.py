import math

import pytest
import torch

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.levels import CLEAN, Level, alpha_bars, flow_levels, karras_levels, vp_levels
from limner.noise import Noise
from limner.samplers.ddpm import ddpm
from limner.samplers.predictor_corrector import _corrected, predictor_corrector

FAMILIES = {
    "vp": vp_levels(alpha_bars("cosine"), 40),
    "flow": flow_levels(40),
    "ve": karras_levels(40, 0.03, 30.0),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_a_mixture_with_its_moments(family):
    peaks = GaussianMixture(
        means=torch.stack([torch.full((1, 4, 4), -1.0), torch.full((1, 4, 4), 1.5)]),
        stds=torch.tensor([0.3, 0.5]),
        weights=torch.tensor([0.4, 0.6]),
    )
    levels, noise = FAMILIES[family], Noise(1, range(1000))
    x = levels[0].sigma * noise.normal((1, 4, 4))
    *_, end = predictor_corrector(peaks, x, levels, noise=noise)
    high = end.x.mean((1, 2, 3)) > 0.25
    assert abs(float(high.float().mean()) - 0.6) < 0.05  # three standard errors
    assert abs(float(end.x[high].mean()) - 1.5) < 0.02
    assert abs(float(end.x[~high].mean()) + 1) < 0.02
    # Langevin steps of finite size spread a little too wide, see below; the predictor too little.
    assert float(end.x[high].std()) == pytest.approx(0.5, rel=0.12)
    assert float(end.x[~high].std()) == pytest.approx(0.3, rel=0.12)


def test_langevin_keeps_a_gaussian_but_for_the_size_of_its_steps():
    """x' = x + ε·g + √(2ε)·z of N(0, v) with g = −x/v settles at v/(1 − ε/(2v)), and there
    ε/v = 2·snr² in many dimensions."""
    noise, level = Noise(3, [0, 1]), Level(0.6, 0.8)
    gaussian = GaussianMixture(torch.zeros(1, 1, 64, 64), torch.tensor([0.5]), torch.ones(1))
    variance = 0.6**2 * 0.25 + 0.8**2
    x = math.sqrt(variance) * noise.normal((1, 64, 64))
    for step in range(60):
        z = noise.normal((1, 64, 64), step=step, purpose="z")
        x = _corrected(gaussian, x, level, z, 0.16, keeps=1.0)
    # ‖z‖/‖g‖ is √v' there, with v' the variance reached, so ε = 2·snr²·v²/v'.
    settled = variance / (1 - 0.16**2)
    assert float(x.var()) == pytest.approx(settled, rel=0.02)


def test_without_corrections_it_is_ddpm(mixture):
    noise, levels = Noise(1, range(2)), flow_levels(10)
    x = noise.normal((1, 2, 2)).double()
    *_, expected = ddpm(mixture, x, levels, noise=noise)
    *_, got = predictor_corrector(mixture, x, levels, noise=noise, corrections=0)
    torch.testing.assert_close(got.x, expected.x, rtol=0, atol=0)


def test_asks_once_more_for_each_correction_and_none_at_clean(mixture):
    asked = []
    watched = lambda x, level: asked.append(level) or mixture(x, level)  # noqa: E731
    a, b = Level(0.1, 0.9), Level(0.6, 0.5)
    noise = Noise(0, [0])
    list(
        predictor_corrector(
            watched, noise.normal((1, 2, 2)), [a, b, CLEAN], noise=noise, corrections=2
        )
    )
    assert asked == [a, b, b, b]
