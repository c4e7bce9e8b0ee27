import pytest
import torch
from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from limner.levels import alpha_bars, flow_levels, vp_levels
from limner.noise import Noise
from limner.samplers.ddim import ddim
from limner.samplers.euler import euler

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow", "pure"])
def test_first_order_on_a_gaussian_mixture(order, family):
    slope, error = order(euler, family)
    assert 0.95 < slope < 1.1 and error < 0.03


# Its timesteps between two of the table's are taken to other levels than limner's; with 10 steps
# (999/9 = 111) linspace has none.
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, spacing, prediction):
    scheduler = EulerDiscreteScheduler(**SD, timestep_spacing=spacing, prediction_type=prediction)
    scheduler.set_timesteps(10)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, spacing)
    assert against(scheduler, euler, levels, exploding=True) < 1e-4


def test_is_diffusers_on_karras_levels_with_fractional_timesteps(against):
    scheduler = EulerDiscreteScheduler(**SD, use_karras_sigmas=True)
    scheduler.set_timesteps(10)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, "karras")
    assert against(scheduler, euler, levels, exploding=True) < 1e-4


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_is_diffusers_on_flow_levels(against, shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[1 - i / 8 for i in range(8)])
    assert against(scheduler, euler, flow_levels(8, shift), table=None) < 1e-4


def test_is_ddim_without_noise(mixture, path):
    noise = Noise(1, range(2))
    levels = path("pure", 10)
    ends = []
    for sampler in (euler, ddim):
        *_, end = sampler(mixture, noise.normal((1, 2, 2)).double(), levels, noise=noise)
        ends.append(end.x)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
