import math

import pytest
import torch
from diffusers import DDIMScheduler

from limner.levels import (
    CLEAN,
    Level,
    alpha_bars,
    flow_levels,
    karras_levels,
    vp_levels,
    zero_terminal,
)
from limner.noise import Noise
from limner.samplers.ddim import ddim, invert

SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("family", ["vp", "ve", "flow", "pure"])
def test_first_order_on_a_gaussian_mixture(order, family):
    slope, error = order(ddim, family)
    assert 0.95 < slope < 1.1 and error < 0.03


def test_with_noise_the_spread_converges_at_first_order(spread_error):
    for eta in (0.5, 1.0):
        coarse, fine = (spread_error(ddim, "vp", steps, eta=eta) for steps in (128, 256))
        assert 0.9 < math.log2(coarse / fine) < 1.1 and fine < 0.01


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spacing, offset", [("leading", 1), ("trailing", 0)])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_is_diffusers(against, eta, spacing, offset, prediction):
    scheduler = DDIMScheduler(
        **SD,
        clip_sample=False,
        timestep_spacing=spacing,
        steps_offset=offset,
        prediction_type=prediction,
    )
    scheduler.set_timesteps(10)
    scheduler.step = _with_eta(scheduler.step, eta)
    levels = vp_levels(alpha_bars("scaled_linear"), 10, spacing, offset)
    assert against(scheduler, ddim, levels, eta=eta) < 1e-4


def test_is_diffusers_with_zero_terminal_snr(against):
    scheduler = DDIMScheduler(
        **SD,
        clip_sample=False,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="v_prediction",
    )
    scheduler.set_timesteps(10)
    table = zero_terminal(alpha_bars("scaled_linear"))
    levels = vp_levels(table, 10, "trailing")
    assert levels[0] == (0.0, 1.0)
    assert against(scheduler, ddim, levels, table=table) < 1e-4


def _with_eta(step, eta):
    return lambda *args, **options: step(*args, eta=eta, **options)


def test_inversion_leads_back_nearer_with_more_steps(mixture, path):
    noise = Noise(0, range(32))
    x = 1.5 * noise.normal((1, 2, 2)).double()
    away = []
    for steps in (32, 64, 128):
        levels = [*path("vp", steps), CLEAN]
        *_, up = invert(mixture, x, levels)
        assert up.level == levels[0] and up.step == steps + 1
        *_, down = ddim(mixture, up.x, levels, noise=noise)
        away.append(float((down.x - x).abs().mean()))
    assert 0.25 > away[0] > 1.4 * away[1] > 2 * away[2]


def test_inversion_finds_the_noise_of_a_gaussian(path):
    """N(μ, s²): the flow maps x0 to α·μ + √(α²s² + σ²)·(x0 − μ)/s exactly."""
    from limner.denoisers.gaussian_mixture import GaussianMixture

    one = torch.ones(1, dtype=torch.float64)
    gaussian = GaussianMixture(one.reshape(1, 1, 1, 1), 0.5 * one, one)
    x = torch.linspace(0, 2, 5, dtype=torch.float64).reshape(5, 1, 1, 1)
    levels = [*path("vp", 512)[:-1], CLEAN]
    *_, up = invert(gaussian, x, levels)
    alpha, sigma = levels[0]
    expected = alpha + math.hypot(alpha * 0.5, sigma) * (x - 1) / 0.5
    torch.testing.assert_close(up.x, expected, rtol=0, atol=0.06)


FIFTY = {
    "vp": vp_levels(alpha_bars("cosine"), 50),
    "zero": vp_levels(zero_terminal(alpha_bars("scaled_linear")), 50),
    "flow": flow_levels(50),
    "ve": karras_levels(50, 0.01, 80.0),
}


@pytest.mark.parametrize("family", FIFTY)
def test_a_second_look_leads_back_to_what_was_inverted(mixture, family):
    """Decibels, of what the mixture spans; 35 are asked for."""
    levels, noise = FIFTY[family], Noise(0, range(24))
    which = torch.arange(24) % 3
    x = mixture.means[which] + mixture.stds[which].view(-1, 1, 1, 1) * noise.normal((1, 2, 2))
    reached = []
    for rounds in (0, 1, 4):
        *_, up = invert(mixture, x, levels, rounds=rounds)
        *_, down = ddim(mixture, up.x, levels, noise=noise)
        error = float((down.x - x).square().mean())
        reached.append(10 * math.log10(float(x.max() - x.min()) ** 2 / error))
    assert reached[0] + 5 < reached[1] < reached[2] and reached[1] > 45


def test_rounds_ask_so_many_times_more_a_step(mixture):
    asked = []
    watched = lambda x, level: asked.append(level) or mixture(x, level)  # noqa: E731
    list(invert(watched, torch.zeros(1, 1, 2, 2).double(), flow_levels(5), rounds=2))
    assert len(asked) == 15


def test_the_embedded_model_gives_a_picture_back():
    from limner.denoisers.given import Given
    from limner.denoisers.network import Network
    from limner.models._open import open_model
    from limner.picture import psnr
    from limner.worlds.scenes import World

    model = open_model()
    drawn = World(1, split="held_out").draw([1])
    x0 = model.encode(torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255)
    words = model.encode_text([drawn.captions[0][0]])
    denoiser = Given(Network(model.unet, model.prediction, model.alpha_bars), words)
    levels = vp_levels(model.alpha_bars, 50)
    with torch.no_grad():
        *_, up = invert(denoiser, x0, levels, rounds=1)
        *_, down = ddim(denoiser, up.x, levels, noise=Noise(0, [0]))
    assert psnr(model.decode(down.x), model.decode(x0)) > 45


def test_one_step_from_clean_to_pure_noise_has_nothing_to_mend(mixture):
    x = Noise(0, range(4)).normal(tuple(mixture.means.shape[1:])).double()
    levels = [Level(0.0, 1.0), CLEAN]
    plain, mended = (next(invert(mixture, x, levels, rounds=rounds)).x for rounds in (0, 2))
    assert plain.isfinite().all() and torch.equal(plain, mended)
