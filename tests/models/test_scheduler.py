"""Latent consistency models and Turbo: their defaults, and diffusers' own pictures."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from limner import BadInput, generate, open_model
from limner.levels import distilled_levels
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
from _xl_pipelines import PROMPT, pixels, theirs

Get = Callable[[str], Path]


@pytest.mark.parametrize("kind, steps", [("lcm", 6), ("xl lcm", 4)])
def test_a_latent_consistency_model_is_sampled_as_theirs(
    xl_folder: Get, kind: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, noise = xl_folder(kind), Noise(3, [0])
    model = open_model(folder)
    assert (model.sampler, model.steps, model.guidance_scale) == ("lcm", 4, 8.5)
    mine = generate(PROMPT, seed=3, steps=steps, model=model, precision="float32")
    drawn = iter(range(steps))

    def again(shape: Any, **_: Any) -> Tensor:
        return noise.normal(shape[1:], step=next(drawn), purpose="step")

    monkeypatch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", again)
    told = dict(guidance_scale=8.5, num_inference_steps=steps)
    wanted = theirs(folder, latents=noise.normal((4, 16, 16)), **told)
    assert np.abs(pixels(mine) - wanted).max() < 1e-3
    other = generate(PROMPT, seed=3, model=model, steps=steps, guidance_scale=2.0)
    assert np.abs(pixels(other) - wanted).max() > 1e-2  # it is told the scale


def test_the_levels_of_a_distilled_model_are_its_schedulers() -> None:
    from diffusers import LCMScheduler

    from limner.levels import alpha_bars, vp_level

    table, theirs = alpha_bars("scaled_linear"), LCMScheduler()
    for steps, strength in ((1, 1.0), (4, 1.0), (7, 1.0), (50, 1.0), (3, 0.5), (4, 0.33)):
        theirs.set_timesteps(steps, strength=strength)
        wanted = [vp_level(float(table[t])) for t in theirs.timesteps]
        assert distilled_levels(table, steps, 50, strength)[:-1] == wanted
    with pytest.raises(BadInput, match="knows 25 levels"):
        distilled_levels(table, 26, 50, 0.5)


@pytest.mark.parametrize(
    "kind, sampler, steps", [("turbo", "euler", None), ("xl turbo", "euler_ancestral", 3)]
)
def test_turbo_is_one_step_without_guidance(
    xl_folder: Get, kind: str, sampler: str, steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, noise = xl_folder(kind), Noise(3, [0])
    model = open_model(folder)
    assert (model.sampler, model.steps, model.guidance_scale) == (sampler, 1, 1.0)
    mine = generate(PROMPT, seed=3, steps=steps, model=model, precision="float32")
    drawn = iter(range(3))

    def again(shape: Any, **_: Any) -> Tensor:
        return noise.normal(shape[1:], step=next(drawn), purpose="step")

    name = "euler_ancestral_discrete" if "xl" in kind else "euler_discrete"
    monkeypatch.setattr(f"diffusers.schedulers.scheduling_{name}.randn_tensor", again)
    # They begin at σ·n where the first level is x = α·x0 + σ·n of unit variance.
    assert model.alpha_bars is not None
    first = float(((1 - model.alpha_bars[-1]) / model.alpha_bars[-1]).sqrt())
    latents = noise.normal((4, 16, 16)) * ((1 + first**2) ** 0.5 / first)
    told = dict(guidance_scale=0.0, num_inference_steps=steps or 1)
    assert np.abs(pixels(mine) - theirs(folder, latents=latents, **told)).max() < 1e-3


@pytest.mark.parametrize(
    "scheduler, sampler",
    [
        (dict(timestep_spacing="leading"), "dpmpp_2m"),
        (dict(timestep_spacing="trailing", prediction_type="v_prediction"), "dpmpp_2m"),
        (dict(timestep_spacing="trailing", _class_name="DDIMScheduler"), "dpmpp_2m"),
        (dict(_class_name="LCMScheduler", original_inference_steps=40), "lcm"),
    ],
)
def test_who_was_distilled(
    xl_folder: Get, tmp_path: Path, scheduler: dict[str, Any], sampler: str
) -> None:
    folder = Path(shutil.copytree(xl_folder("xl turbo"), tmp_path / "model"))
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | scheduler))
    model = open_model(folder)
    assert model.sampler == sampler and not model.takes_scale
    assert model.origin == (40 if sampler == "lcm" else None)
    assert model.guidance_scale == (1.0 if sampler == "lcm" else 5.0)
