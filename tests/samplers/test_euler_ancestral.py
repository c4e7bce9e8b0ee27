import math

import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from limner.levels import alpha_bars, flow_levels, vp_levels
from limner.noise import Noise
from limner.samplers.ddpm import ddpm
from limner.samplers.euler import euler
from limner.samplers.euler_ancestral import euler_ancestral

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "pure"])
def test_the_spread_converges_at_first_order(spread_error, family):
    coarse, fine = (spread_error(euler_ancestral, family, steps) for steps in (128, 256))
    assert 0.9 < math.log2(coarse / fine) < 1.1 and fine < 0.01


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_is_diffusers(against, spacing, prediction):
    scheduler = EulerAncestralDiscreteScheduler(
        **SD, timestep_spacing=spacing, prediction_type=prediction
    )
    scheduler.set_timesteps(10)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, spacing)
    assert against(scheduler, euler_ancestral, levels, exploding=True) < 1e-4


@pytest.mark.parametrize("like, eta", [(euler, 0.0), (ddpm, 1.0)])
def test_is_euler_without_noise_and_ddpm_with_all(mixture, like, eta):
    noise = Noise(1, range(2))
    x = noise.normal((1, 2, 2)).double()
    *_, expected = like(mixture, x, flow_levels(10), noise=noise)
    *_, got = euler_ancestral(mixture, x, flow_levels(10), noise=noise, eta=eta)
    torch.testing.assert_close(got.x, expected.x, rtol=0, atol=1e-12)
