"""Classifier guidance: with the exact noisy classifier it is the exact denoiser of the class."""

import math

import pytest
import torch

from limner._rooms import find
from limner.denoisers.classifier import Classifier
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import Level, karras_levels
from limner.noise import Noise

MEANS = torch.tensor([-2.0, 0.5, 1.5], dtype=torch.float64).view(3, 1, 1, 1)
STDS = torch.tensor([0.4, 0.3, 0.6], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
MIXTURE = GaussianMixture(MEANS, STDS, WEIGHTS)
CLASS = [0, 2]  # y: x0 is of the first or of the third part
WITHIN = GaussianMixture(MEANS[CLASS], STDS[CLASS], WEIGHTS[CLASS])


def exact(x, level):
    """log p(y | x), by Bayes: x given part k is N(α·μ_k, α²·s_k² + σ²)."""
    variances = level.alpha**2 * STDS**2 + level.sigma**2
    away = x[:, 0, 0] - level.alpha * MEANS[:, 0, 0, 0]
    logs = WEIGHTS.log() - variances.log() / 2 - away.square() / (2 * variances)
    return logs[:, CLASS].logsumexp(1) - logs.logsumexp(1)


@pytest.mark.parametrize("level", [Level(0.95, 0.3), Level(0.6, 0.8), Level(1.0, 9.0)])
def test_it_is_the_denoiser_of_the_class(level):
    x = 2 * torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    guided = Classifier(MIXTURE, exact)(x, level)
    torch.testing.assert_close(guided, WITHIN(x, level))
    assert (guided - MIXTURE(x, level)).abs().max() > 0.01 and not guided.requires_grad


@pytest.mark.parametrize("family", ["vp", "ve"])
@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
def test_samples_have_the_moments_of_the_class(sampler, family):
    levels = karras_levels(100, 0.01, 80.0)
    if family == "vp":
        levels = [Level(*(part / math.hypot(*level) for part in level)) for level in levels]
    count = 4000
    start = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    x = levels[0].sigma * start.view(-1, 1, 1, 1)
    run = find("samplers", sampler)(Classifier(MIXTURE, exact), x, levels, noise=Noise(0, [0]))
    end = list(run)[-1].x
    share = WEIGHTS[CLASS] / WEIGHTS[CLASS].sum()
    mean = float((share * MEANS[CLASS].flatten()).sum())
    square = float((share * (STDS[CLASS] ** 2 + MEANS[CLASS].flatten() ** 2)).sum())
    assert float(end.mean()) == pytest.approx(mean, rel=0.02)
    assert float(end.std()) == pytest.approx(math.sqrt(square - mean**2), rel=0.02)
    assert float((end > 0.1).double().mean()) == pytest.approx(float(share[1]), rel=0.02)


def test_outside_its_interval_and_in_pure_noise_nothing_pulls():
    x = torch.randn(2, 1, 1, 1).double()
    guided = Classifier(MIXTURE, exact, 2.0, (0.2, 0.6))
    for level in (Level(0.9, 0.1), Level(0.3, 0.7), Level(0.0, 1.0)):
        assert torch.equal(guided(x, level), MIXTURE(x, level))
    level = Level(0.5, 0.5)
    pull = Classifier(MIXTURE, exact)(x, level) - MIXTURE(x, level)
    torch.testing.assert_close(guided(x, level) - MIXTURE(x, level), 2 * pull)


@pytest.mark.parametrize(
    "told, said", [(dict(scale=math.inf), "scale inf"), (dict(interval=(-0.1, 1)), "interval")]
)
def test_refuses_what_is_no_guidance(told, said):
    with pytest.raises(BadInput, match=said):
        Classifier(MIXTURE, exact, **told)
