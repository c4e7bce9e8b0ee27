"""Inpaint: exact outside the mask under every sampler; against closed forms of Gaussians."""

import pytest
import torch

from limner._rooms import find, names
from limner.denoisers.cfg import CFG
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.denoisers.inpaint import Inpaint
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import Level, alpha_bars, flow_levels, karras_levels, vp_levels
from limner.noise import Noise
from limner.samplers._resampled import resampled

SAMPLERS = names("samplers")
LEVELS = {
    "vp": vp_levels(alpha_bars("scaled_linear"), 8),
    "ve": karras_levels(8, 0.03, 15.0),
    "flow": flow_levels(8),
}
MIXTURE = GaussianMixture(
    torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(0)).double(),
    torch.tensor([0.2, 0.5, 1.0]),
    torch.tensor([1.0, 2.0, 5.0]),
)
KNOWN = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(1)).double()
MASK = (torch.rand(1, 1, 3, 4, generator=torch.Generator().manual_seed(2)) < 0.5).double()
OUTSIDE = (MASK == 0).expand(3, 2, 3, 4)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("family", LEVELS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_keeps_what_is_known_and_paints_the_rest(sampler, family, rounds):
    levels, noise = LEVELS[family], Noise(3, range(3))
    x = levels[0].alpha * KNOWN + levels[0].sigma * noise.normal((2, 3, 4)).double()
    denoiser = Inpaint(MIXTURE, KNOWN, MASK)
    run = resampled(find("samplers", sampler), denoiser, x, levels, noise=noise, rounds=rounds)
    for state in run:
        assert torch.equal(state.denoised[OUTSIDE], KNOWN.expand(3, -1, -1, -1)[OUTSIDE])
    torch.testing.assert_close(state.x[OUTSIDE], KNOWN.expand(3, -1, -1, -1)[OUTSIDE])
    assert (state.x - KNOWN)[~OUTSIDE].abs().min() > 1e-6


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_is_noised_to_each_step_s_own_level(sampler):
    """x − α·known has mean 0 and spread σ, before each step (RePaint, eq. 8a)."""
    levels, many = LEVELS["vp"], Noise(5, [0])
    known = torch.full((1, 1, 4000, 2), 2.0)
    mask = torch.tensor([0.0, 1.0]).expand(1, 1, 4000, 2)
    one = GaussianMixture(torch.zeros(1, 1, 4000, 2), torch.ones(1), torch.ones(1))
    x = levels[0].alpha * known + levels[0].sigma * many.normal((1, 4000, 2))
    for state in find("samplers", sampler)(Inpaint(one, known, mask), x, levels, noise=many):
        left = state.x[0, 0, :, 0] - state.level.alpha * 2
        assert abs(float(left.mean())) < 0.05 * max(state.level.sigma, 1e-2)
        assert float(left.std()) == pytest.approx(state.level.sigma, rel=0.05, abs=1e-6)


def correlated(x: torch.Tensor, level: Level) -> torch.Tensor:
    """E[x0 | x] for rows (b, 1, h, 2) of two standard normal numbers, correlated by .8."""
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    seen = level.alpha**2 * covariance + level.sigma**2 * torch.eye(2)
    return x @ (level.alpha * covariance @ torch.linalg.inv(seen)).T.to(x)


@pytest.mark.parametrize(
    "rounds, share, spread", [(1, 0.41, 1.38), (5, 0.83, 1.09), (20, 0.96, 0.99)]
)
def test_back_and_forth_it_comes_to_the_conditional(rounds, share, spread):
    """Of (a, b), a = 1.5 is known: b given a is N(.8 · 1.5, 1 − .8²), a closed form. What share of
    its mean is reached, and how its spread compares, as the docstring says."""
    noise, levels = Noise(1, [0]), flow_levels(50)
    known, mask = (torch.tensor(pair).expand(1, 1, 3000, 2) for pair in ([1.5, 0.0], [0.0, 1.0]))
    denoiser = Inpaint(correlated, known, mask)
    x = noise.normal((1, 3000, 2))
    sampler = find("samplers", "dpmpp_2m")
    *_, end = resampled(sampler, denoiser, x, levels, noise=noise, rounds=rounds, jump=1)
    painted = end.x[0, 0, :, 1]
    assert float(painted.mean()) / 1.2 == pytest.approx(share, abs=0.035)
    assert float(painted.std()) / 0.6 == pytest.approx(spread, abs=0.05)


def test_what_is_independent_is_painted_as_without_a_mask():
    one = GaussianMixture(KNOWN, torch.tensor([0.5]), torch.ones(1))
    levels, noise = LEVELS["vp"], Noise(3, range(3))
    x = levels[0].alpha * KNOWN + levels[0].sigma * noise.normal((2, 3, 4)).double()
    ends = [
        list(find("samplers", "ddpm")(denoiser, x, levels, noise=noise))[-1].x
        for denoiser in (one, Inpaint(one, 3 * KNOWN, MASK))
    ]
    torch.testing.assert_close(ends[0][~OUTSIDE], ends[1][~OUTSIDE])


def test_guidance_goes_inside():
    network = Network(
        Plain(lambda x, t, words: x.sin() + words.mean()), "v_prediction", alpha_bars("linear")
    )
    guided = CFG(network, torch.ones(1, 3, 8), torch.zeros(1, 3, 8), 4.0)
    got = Inpaint(guided, KNOWN, MASK)(KNOWN.repeat(3, 1, 1, 1), LEVELS["vp"][3])
    free = guided(KNOWN.repeat(3, 1, 1, 1), LEVELS["vp"][3])
    assert torch.equal(got[~OUTSIDE], free[~OUTSIDE])
    assert torch.equal(got[OUTSIDE], KNOWN.expand(3, -1, -1, -1)[OUTSIDE])


@pytest.mark.parametrize("mask", [MASK[0], MASK[..., 1:], MASK.repeat(1, 2, 1, 1)])
def test_refuses_a_mask_of_another_shape(mask):
    with pytest.raises(BadInput, match=r"known \(1, 2, 3, 4\) and mask"):
        Inpaint(MIXTURE, KNOWN, mask)
