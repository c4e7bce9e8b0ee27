import math

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from limner.errors import BadInput
from limner.levels import (
    CLEAN,
    SCHEDULES,
    Level,
    Shift,
    alpha_bars,
    flow_levels,
    karras_levels,
    level_at,
    timestep_of,
    vp_level,
    vp_levels,
    zero_terminal,
)

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
TABLE = alpha_bars("scaled_linear")


def test_level_properties():
    level = Level(0.6, 0.8)
    assert level.ratio == 0.8 / 0.6 and level.time == pytest.approx(0.8 / 1.4)
    assert level.log_snr == pytest.approx(math.log(0.36 / 0.64))
    pure = Level(0.0, 1.0)
    assert (pure.ratio, pure.log_snr, pure.time) == (math.inf, -math.inf, 1)
    assert (CLEAN.ratio, CLEAN.log_snr, CLEAN.time) == (0, math.inf, 0)


@pytest.mark.parametrize(
    "name, like",
    [
        ("linear", {}),
        ("scaled_linear", SD),
        ("cosine", {"beta_schedule": "squaredcos_cap_v2"}),
    ],
)
def test_tables_are_diffusers(name, like):
    expected = DDPMScheduler(**like).alphas_cumprod.double()
    torch.testing.assert_close(alpha_bars(name), expected, rtol=2e-4, atol=1e-8)  # theirs: float32


def test_offset_cosine_turns_evenly_from_95_to_2_hundredths():
    alpha = alpha_bars("offset_cosine", 50).sqrt()
    assert float(alpha[0]) == pytest.approx(0.95) and float(alpha[-1]) == pytest.approx(0.02)
    turns = torch.atan2((1 - alpha**2).sqrt(), alpha).diff()
    torch.testing.assert_close(turns, turns[:1].expand(49), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [10, 250, 1000, 4000])
def test_tables_fall_and_end_alike_at_any_length(name, steps):
    table = alpha_bars(name, steps)
    assert table.shape == (steps,) and table.dtype == torch.float64
    assert bool((table.diff() < 0).all()) and 0 < table[-1] < table[0] < 1
    if steps >= 250:
        log_end, log_long = (float(t[-1].log()) for t in (table, alpha_bars(name)))
        assert log_end == pytest.approx(log_long, rel=0.3)


def test_zero_terminal_is_diffusers():
    ours = zero_terminal(TABLE)
    assert float(ours[-1]) == 0 and float(ours[0]) == pytest.approx(float(TABLE[0]), rel=1e-12)
    expected = DDIMScheduler(**SD, rescale_betas_zero_snr=True).alphas_cumprod.double()
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 33, 50, 1000])
@pytest.mark.parametrize("offset", [0, 1])
def test_spacings_are_diffusers(spacing, steps, offset):
    if spacing == "leading" and (steps, offset) == (1000, 1):
        pytest.skip("leads out of the table")
    scheduler = DDIMScheduler(**SD, timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(steps)
    levels = vp_levels(TABLE, steps, spacing, offset)
    expected = [vp_level(float(TABLE[t])) for t in scheduler.timesteps]
    if spacing == "linspace" and steps == 1:  # one step has to start in noise, theirs at 0
        expected = [vp_level(float(TABLE[-1]))]
    assert levels == [*expected, CLEAN]


def test_karras_spacing_and_its_timesteps_are_diffusers():
    scheduler = EulerDiscreteScheduler(**SD, use_karras_sigmas=True)
    scheduler.set_timesteps(12)
    levels = vp_levels(TABLE, 12, "karras")
    np.testing.assert_allclose([level.ratio for level in levels], scheduler.sigmas, rtol=1e-4)
    assert all(math.hypot(*level) == pytest.approx(1) for level in levels)
    timesteps = [timestep_of(TABLE, level) for level in levels[:-1]]
    np.testing.assert_allclose(timesteps, scheduler.timesteps, rtol=1e-4, atol=0.02)


def test_karras_levels_are_diffusers():
    scheduler = EDMEulerScheduler(sigma_min=0.01, sigma_max=70.0, rho=5.0)
    scheduler.set_timesteps(9)
    levels = karras_levels(9, 0.01, 70.0, rho=5.0)
    np.testing.assert_allclose([level.sigma for level in levels], scheduler.sigmas, rtol=1e-4)
    assert all(level.alpha == 1 for level in levels) and levels[-1] == CLEAN


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_flow_levels_are_diffusers(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[1 - i / 8 for i in range(8)])
    levels = flow_levels(8, shift)
    np.testing.assert_allclose([level.sigma for level in levels], scheduler.sigmas, atol=1e-6)
    assert all(sum(level) == pytest.approx(1) for level in levels)
    assert levels[0] == (0, 1) and levels[-1] == CLEAN


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("end", [lambda table: table, zero_terminal])
def test_timesteps_are_whole_at_the_tables_own_levels(name, end):
    table = end(alpha_bars(name))
    for timestep in (0, 1, 499, 997, 998, 999):
        level = level_at(table, timestep)
        assert level == vp_level(float(table[timestep]))
        assert timestep_of(table, level) == timestep
        scaled = Level(3 * level.alpha, 3 * level.sigma)  # only the ratio counts
        assert timestep_of(table, scaled) == timestep


@pytest.mark.parametrize("timestep", [0.25, 10.5, 998.75])
def test_between_entries_the_log_snr_is_interpolated(timestep):
    level = level_at(TABLE, timestep)
    assert timestep_of(TABLE, level) == pytest.approx(timestep, abs=1e-5)
    low = math.floor(timestep)
    ends = [vp_level(float(TABLE[i])).log_snr for i in (low, low + 1)]
    assert level.log_snr == pytest.approx(np.interp(timestep - low, [0, 1], ends))


def test_beyond_the_table_is_its_end():
    assert timestep_of(TABLE, CLEAN) == 0 and timestep_of(TABLE, Level(0.0, 1.0)) == 999
    assert level_at(TABLE, -3) == level_at(TABLE, 0) and level_at(TABLE, 5e3) == level_at(
        TABLE, 999
    )


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: alpha_bars("sine"), "choose one of linear"),
        (lambda: alpha_bars("linear", 0), "at least 1"),
        (lambda: vp_levels(TABLE, 0), "1 to 1000"),
        (lambda: vp_levels(TABLE, 1001), "1 to 1000"),
        (lambda: vp_levels(TABLE, 10, "even"), "choose one of leading"),
        (lambda: vp_levels(TABLE, 1000, "leading", 1), "offset 1"),
        (lambda: vp_levels(zero_terminal(TABLE), 10, "karras"), "pure noise"),
        (lambda: karras_levels(5, 0.0, 1.0), "sigma_min"),
        (lambda: karras_levels(5, 2.0, 1.0), "sigma_min"),
        (lambda: karras_levels(0, 1.0, 2.0), "at least 1"),
        (lambda: flow_levels(0), "at least 1"),
        (lambda: flow_levels(3, 0.0), "above 0"),
    ],
)
def test_bad_input_says_what_to_give(call, match):
    with pytest.raises(BadInput, match=match):
        call()


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("size", [(512, 768), (1024, 1024), (130, 90)])
def test_a_shift_grows_with_the_picture_as_diffusers_scheduler_has_it(
    kind: str, size: tuple[int, int]
) -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    theirs = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    tokens = -(-size[0] // 16) * -(-size[1] // 16)
    theirs.set_timesteps(sigmas=[1 - i / 7 for i in range(7)], mu=calculate_shift(tokens))
    ends = (math.exp(0.5), math.exp(1.15)) if kind == "exponential" else (0.5, 1.15)
    shift = Shift(*ends, geometric=kind == "exponential")
    mine = [level.sigma for level in flow_levels(7, shift.at(*size))]
    assert mine == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)
    assert Shift(3.0, 3.0).at(*size) == 3.0
