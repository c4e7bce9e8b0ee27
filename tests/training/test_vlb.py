"""The bound against what is known: a Gaussian's entropy, diffusers' scheduler, scipy's bins."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from limner.levels import alpha_bars
from limner.training._vlb import Chain, gaussian_kl


@pytest.mark.parametrize("deviation", [1.0, 0.5])
def test_on_a_gaussian_the_bound_is_its_entropy(deviation: float) -> None:
    """x0 ~ N(0, s²): the true reverse kernels are Gaussian. With their means and variances the
    bound is tight, E[L_0 + … + L_T] = ½·ln 2πe·s² (and what N(0, 1) misses of x_T)."""
    chain, s2 = Chain(alpha_bars("cosine", 60), greys=False), deviation**2
    table, before = chain.table, chain.before()
    low, high = chain.log_variances()
    draw = torch.Generator().manual_seed(0)
    x0 = deviation * torch.randn(4, 1, 100, 100, generator=draw, dtype=torch.float64)
    total = chain.prior(x0)
    for t in range(60):
        n = torch.randn(x0.shape, generator=draw, dtype=torch.float64)
        x, steps = table[t].sqrt() * x0 + (1 - table[t]).sqrt() * n, torch.full((4,), t)
        wide = table[t] * s2 + 1 - table[t]  # the variance of x_t
        said = table[t].sqrt() * s2 / wide * x
        beta = 1 - table[t] / before[t]
        reverse = beta * (before[t] * s2 + 1 - before[t]) / wide  # of x_{t−1} given x_t
        v = 2 * (reverse.log() - low[t]) / (high[t] - low[t]) - 1 if high[t] > low[t] else 0.0
        log_variance = chain.log_variance(torch.full_like(x, float(v)), steps)
        if t > 0:
            torch.testing.assert_close(log_variance, torch.full_like(x, float(reverse.log())))
            assert -1 - 1e-9 <= v <= 1 + 1e-9
        else:
            log_variance = torch.full_like(x, float(reverse.log()))
        total = total + chain.term(x0, x, steps, said, log_variance)
    last = float(table[-1])
    missed = 0.5 * ((last * s2 + 1 - last) - 1 - math.log(last * s2 + 1 - last))
    entropy = 0.5 * math.log(2 * math.pi * math.e * s2)
    assert float(total.mean()) == pytest.approx(entropy + missed, abs=0.01)


def test_kl_is_torch_s() -> None:
    normal = torch.distributions.Normal
    a, b, c, d = torch.randn(4, 50, generator=torch.Generator().manual_seed(1)).double()
    wanted = torch.distributions.kl_divergence(normal(a, (b / 2).exp()), normal(c, (d / 2).exp()))
    torch.testing.assert_close(gaussian_kl(a, b, c, d), wanted)


def test_variances_and_means_are_diffusers() -> None:
    from diffusers import DDPMScheduler

    chain = Chain(alpha_bars("cosine"))
    theirs = DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="learned_range")
    draw = torch.Generator().manual_seed(2)
    v, x, x0 = (torch.rand(1, 1, 4, 4, generator=draw).double() * 2 - 1 for _ in range(3))
    for t in (1, 50, 998):
        wanted = theirs._get_variance(t, predicted_variance=v)
        found = chain.log_variance(v, torch.tensor([t]))
        torch.testing.assert_close(found, wanted.double(), rtol=1e-3, atol=1e-3)
        kept = theirs.alphas_cumprod
        before, here = kept[t - 1], kept[t]
        beta = 1 - here / before
        mean = (
            before.sqrt() * beta / (1 - here) * x0
            + (here / before).sqrt() * (1 - before) / (1 - here) * x
        )
        found = chain.posterior_mean(x0, x, torch.tensor([t]))
        torch.testing.assert_close(found, mean.double(), rtol=1e-3, atol=1e-3)


def test_the_last_term_is_the_probability_of_a_grey() -> None:
    chain = Chain(alpha_bars("linear"))
    greys = torch.tensor([0, 1, 7, 128, 254, 255]).double()
    x0 = (greys / 127.5 - 1).view(1, 1, 1, -1)
    said, log_variance = x0 * 0.9, torch.full_like(x0, math.log(0.05**2))
    zero = torch.tensor([0])
    mean = chain.posterior_mean(said, x0, zero)
    found = chain.term(x0, x0, zero, said, log_variance)
    edges = torch.cat(
        [torch.tensor([-math.inf]), (torch.arange(255) + 0.5) / 127.5 - 1, torch.tensor([math.inf])]
    )
    wanted = [
        -math.log(stats.norm.cdf(edges[g + 1], m, 0.05) - stats.norm.cdf(edges[g], m, 0.05))
        for g, m in zip(greys.int().tolist(), mean.flatten().tolist())
    ]
    assert float(found) == pytest.approx(sum(wanted) / 6, abs=1e-6)
    total = chain.term  # of all 256 greys the probabilities make one
    every = (torch.arange(256).double() / 127.5 - 1).view(-1, 1, 1, 1)
    flat = torch.zeros_like(every)
    chances = [float(total(e[None], flat[:1], zero, flat[:1], flat[:1] - 4)) for e in every]
    assert sum(math.exp(-each) for each in chances) == pytest.approx(1, abs=1e-9)
