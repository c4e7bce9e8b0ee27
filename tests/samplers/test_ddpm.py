import math

import pytest
import torch
from diffusers import DDPMScheduler

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.levels import alpha_bars, flow_levels, vp_levels
from limner.noise import Noise
from limner.samplers.ddim import ddim
from limner.samplers.ddpm import ddpm

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "flow", "pure"])
def test_the_spread_converges_at_first_order(spread_error, family):
    coarse, fine = (spread_error(ddpm, family, steps) for steps in (128, 256))
    assert 0.9 < math.log2(coarse / fine) < 1.1 and fine < 0.01


@pytest.mark.parametrize("spacing, offset", [("leading", 1), ("trailing", 0)])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, spacing, offset, prediction):
    scheduler = DDPMScheduler(
        **SD,
        clip_sample=False,
        timestep_spacing=spacing,
        steps_offset=offset,
        prediction_type=prediction,
    )
    scheduler.set_timesteps(10)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, spacing, offset)
    assert against(scheduler, ddpm, levels) < 1e-4


def test_is_ddim_with_full_noise(mixture):
    noise = Noise(1, range(2))
    ends = []
    for sampler, options in ((ddpm, {}), (ddim, {"eta": 1.0})):
        x = noise.normal((1, 2, 2)).double()
        *_, end = sampler(mixture, x, flow_levels(10), noise=noise, **options)
        ends.append(end.x)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_draws_each_of_two_peaks_as_often_as_it_weighs():
    peaks = GaussianMixture(
        means=torch.tensor([-2.0, 3.0]).reshape(2, 1, 1, 1),
        stds=torch.tensor([0.2, 0.4]),
        weights=torch.tensor([0.3, 0.7]),
    )
    noise = Noise(3, range(1000))
    *_, end = ddpm(peaks, noise.normal((1, 1, 1)), flow_levels(25), noise=noise)
    high = end.x[end.x > 0]
    assert abs(len(high) / 1000 - 0.7) < 0.06  # four standard errors
    assert abs(float(high.mean()) - 3) < 0.05  # three standard errors
