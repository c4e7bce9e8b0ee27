import math

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from limner.levels import alpha_bars, flow_levels, vp_levels
from limner.noise import Noise
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.samplers.dpmpp_sde import dpmpp_sde

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow", "pure"])
def test_the_spread_converges_at_second_order(spread_error, family):
    coarse, fine = (spread_error(dpmpp_sde, family, steps) for steps in (128, 256))
    assert 1.9 < math.log2(coarse / fine) < 2.2 and fine < 2e-4


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_is_diffusers(against, steps, prediction):
    scheduler = DPMSolverMultistepScheduler(
        **SD,
        algorithm_type="sde-dpmsolver++",
        timestep_spacing="trailing",
        prediction_type=prediction,
    )
    scheduler.set_timesteps(steps)
    levels = vp_levels(alpha_bars("scaled_linear"), steps, "trailing")
    assert against(scheduler, dpmpp_sde, levels) < 1e-4


def test_is_dpmpp_2m_without_noise(mixture):
    noise = Noise(1, range(2))
    x = noise.normal((1, 2, 2)).double()
    *_, expected = dpmpp_2m(mixture, x, flow_levels(10), noise=noise)
    *_, got = dpmpp_sde(mixture, x, flow_levels(10), noise=noise, eta=0.0)
    torch.testing.assert_close(got.x, expected.x, rtol=0, atol=1e-12)
