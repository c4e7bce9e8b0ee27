"""The probability flow's density: a Gaussian mixture's is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import CLEAN, Level, alpha_bars, geometric_levels, vp_levels
from limner.measures._density import bits, log_density, probes_of
from limner.noise import Noise

DRAW = torch.Generator().manual_seed(0)
MIXTURE = GaussianMixture(
    means=torch.randn(3, 1, 2, 3, generator=DRAW, dtype=torch.float64),
    stds=torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64),
    weights=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
)
EVENLY = [1e-3 * (0.9995 / 1e-3) ** (i / 60) for i in range(61)][::-1]
FAMILIES = {
    "vp": [*vp_levels(alpha_bars("linear"), 60, "karras")],
    "vp, table": vp_levels(alpha_bars("cosine"), 200),
    # x·mean/σ² is what the Gaussian at the noisy end leaves out: of the first order in 1/σ
    "ve": geometric_levels(60, 0.005, 200.0),
    "flow": [Level(0.0, 1.0), *(Level(1 - t, t) for t in EVENLY), CLEAN],
}


def drawn(count: int) -> Tensor:
    which = torch.arange(count) % 3
    n = torch.randn(count, 1, 2, 3, generator=DRAW, dtype=torch.float64)
    return MIXTURE.means[which] + MIXTURE.stds[which].view(-1, 1, 1, 1) * n


def closed(x: Tensor) -> Tensor:
    parts = []
    for mean, std, weight in zip(MIXTURE.means, MIXTURE.stds, MIXTURE.weights):
        normal = torch.distributions.Normal(mean, std)
        parts.append(normal.log_prob(x).flatten(1).sum(1) + (weight / MIXTURE.weights.sum()).log())
    return torch.logsumexp(torch.stack(parts), 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_within_a_hundredth_of_a_bit_of_the_exact_density(family: str) -> None:
    x = drawn(6)
    spread = float(x.std())
    found = log_density(MIXTURE, x, FAMILIES[family], spread=spread)
    error = (bits(found, 6) - bits(closed(x), 6)).abs().max()
    assert float(error) < 0.01


def test_hutchinson_s_estimate_is_right_on_average() -> None:
    x, levels = drawn(1).expand(256, -1, -1, -1), geometric_levels(24, 0.02, 30.0)
    exact = log_density(MIXTURE, x[:1], levels)
    probes = probes_of(Noise(0, range(256)), (1, 2, 3), 1)
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    found = log_density(MIXTURE, x, levels, probes=probes)
    error = float(found.std()) / 16
    assert abs(float(found.mean() - exact)) < 4 * error and error < 0.2


def test_bits_and_refusals() -> None:
    assert float(bits(torch.tensor(-math.log(2) * 6), 3)) == pytest.approx(2)
    for wrong, message in (
        ([CLEAN], "0 levels"),
        ([Level(0.9, 0.1), Level(0.1, 0.9)], "must fall"),
    ):
        with pytest.raises(BadInput, match=message):
            log_density(MIXTURE, drawn(1), wrong)


def test_a_picture_s_density_is_the_same_in_any_batch() -> None:
    x, levels = drawn(3), geometric_levels(8, 0.02, 30.0)
    probes: Any = probes_of(Noise(0, range(3)), (1, 2, 3), 2)
    every = log_density(MIXTURE, x, levels, probes=probes)
    alone = log_density(MIXTURE, x[1:2], levels, probes=probes_of(Noise(0, [1]), (1, 2, 3), 2))
    torch.testing.assert_close(alone[0], every[1])
