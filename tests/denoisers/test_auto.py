"""Autoguidance: on Gaussians, whose tilted score is a closed form."""

import math

import pytest
import torch

from limner._rooms import find
from limner.denoisers.auto import Auto
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import Level, flow_levels
from limner.noise import Noise


def gaussian(mean, std):
    return GaussianMixture(torch.full((1, 1, 1, 1), mean), torch.tensor([std]), torch.ones(1))


GOOD, WEAK = gaussian(1.0, 0.5), gaussian(0.6, 0.8)


@pytest.mark.parametrize("level", [Level(0.8, 0.6), Level(1.0, 2.0), Level(0.1, 0.9)])
def test_its_score_is_that_of_good_to_the_scale_over_weak(level):
    """p_weak·(p/p_weak)^w at each level, whose score is w·∇log p + (1 − w)·∇log p_weak (eq. 3)."""
    alpha, sigma = level
    x = torch.randn(5, 1, 1, 1, dtype=torch.float64)

    def score(mean, std):
        return (alpha * mean - x) / (alpha**2 * std**2 + sigma**2)

    both = 2.5 * score(1.0, 0.5) - 1.5 * score(0.6, 0.8)
    found = Auto(GOOD, WEAK, 2.5)(x, level)
    torch.testing.assert_close(found, (x + sigma**2 * both) / alpha, atol=1e-6, rtol=1e-6)


def test_samples_are_narrower_and_farther_from_the_weak_one_s_errors():
    x = torch.randn(4000, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    ends = [
        list(find("samplers", "dpmpp_2m")(each, x, flow_levels(50), noise=Noise(0, [0])))[-1].x
        for each in (GOOD, Auto(GOOD, WEAK, 2.0))
    ]
    assert ends[1].std() < 0.9 * ends[0].std() and ends[1].mean() > ends[0].mean() + 0.02


def test_a_scale_of_one_and_other_levels_never_ask_the_weak_one():
    def never(x, level):
        raise AssertionError

    x = torch.randn(2, 1, 1, 1)
    assert torch.equal(Auto(GOOD, never, 1.0)(x, Level(0.8, 0.6)), GOOD(x, Level(0.8, 0.6)))
    within = Auto(GOOD, never, 3.0, (0.2, 0.5))
    assert torch.equal(within(x, Level(0.4, 0.6)), GOOD(x, Level(0.4, 0.6)))
    with pytest.raises(AssertionError):
        within(x, Level(0.6, 0.4))


@pytest.mark.parametrize(
    "told, said", [(dict(scale=math.nan), "scale nan"), (dict(interval=(0.5, 0.2)), "interval")]
)
def test_refuses_what_is_no_guidance(told, said):
    with pytest.raises(BadInput, match=said):
        Auto(GOOD, WEAK, **{"scale": 2.0} | told)
