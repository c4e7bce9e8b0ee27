import pytest
from diffusers import HeunDiscreteScheduler

from limner.levels import CLEAN, alpha_bars, vp_levels
from limner.noise import Noise
from limner.samplers.heun import heun

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow"])
def test_second_order_on_a_gaussian_mixture(order, family):
    slope, error = order(heun, family)
    assert 1.9 < slope < 2.1 and error < 1e-4


def test_nearly_second_order_from_pure_noise(order):
    slope, error = order(heun, "pure")
    assert slope > 1.7 and error < 2e-3


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, spacing, prediction):
    scheduler = HeunDiscreteScheduler(**SD, timestep_spacing=spacing, prediction_type=prediction)
    scheduler.set_timesteps(10)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, spacing)
    assert against(scheduler, heun, levels, exploding=True) < 1e-4


def test_asks_twice_a_step_and_once_to_clean(mixture, path):
    asked = []

    def watched(x, level):
        asked.append(level)
        return mixture(x, level)

    levels = [*path("vp", 3), CLEAN]
    noise = Noise(0, [0])
    list(heun(watched, noise.normal((1, 2, 2)).double(), levels, noise=noise))
    a, b, c, d, _ = levels
    assert asked == [a, b, b, c, c, d, d]
