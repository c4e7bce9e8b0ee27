import math

import pytest
from diffusers import LCMScheduler

from limner.levels import alpha_bars, vp_levels
from limner.samplers.lcm import lcm

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow", "pure"])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_any_number_of_steps_is_exact_with_an_exact_consistency_function(
    spread_error, family, steps
):
    """Of N(0, ½²) the flow leads x at (α, σ) to ½·x/√(α²/4 + σ²), which is what LCM distils."""

    def consistency(x, level):
        return 0.5 * x / math.hypot(0.5 * level.alpha, level.sigma)

    assert spread_error(lcm, family, steps, denoiser=consistency) < 1e-12


@pytest.mark.parametrize("steps", [1, 5, 10])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, steps, prediction):
    scheduler = LCMScheduler(**SD, clip_sample=False, prediction_type=prediction)
    scheduler.set_timesteps(steps)
    levels = vp_levels(alpha_bars("scaled_linear"), steps, "trailing")
    assert against(scheduler, lcm, levels) < 1e-4
