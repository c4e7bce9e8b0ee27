import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from limner.levels import CLEAN, alpha_bars, vp_levels
from limner.noise import Noise
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.samplers.euler import euler

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow"])
def test_second_order_on_a_gaussian_mixture(order, family):
    slope, error = order(dpmpp_2m, family)
    assert 1.9 < slope < 2.1 and error < 1e-4


def test_nearly_second_order_from_pure_noise(order):
    slope, error = order(dpmpp_2m, "pure")
    assert slope > 1.7 and error < 2e-3


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, steps, prediction):
    scheduler = DPMSolverMultistepScheduler(
        **SD, timestep_spacing="trailing", prediction_type=prediction
    )
    scheduler.set_timesteps(steps)
    levels = vp_levels(alpha_bars("scaled_linear"), steps, "trailing")
    assert against(scheduler, dpmpp_2m, levels) < 1e-4


def test_remembers_one_denoised_when_it_goes_on(mixture, path):
    levels = [*path("vp", 8), CLEAN]
    noise = Noise(0, range(2))
    states = list(dpmpp_2m(mixture, 8 * noise.normal((1, 2, 2)).double(), levels, noise=noise))
    half = states[3]
    forgot = list(dpmpp_2m(mixture, half.x, levels, noise=noise, start=4))
    assert not torch.equal(forgot[0].x, states[4].x)
    *_, first = euler(mixture, half.x, levels[4:6], noise=noise)
    torch.testing.assert_close(forgot[0].x, first.x, rtol=0, atol=1e-12)
