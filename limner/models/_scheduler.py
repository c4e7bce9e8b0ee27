"""What a folder's scheduler_config.json says: what the network predicts, under which noise, and how
it is sampled where that is not as usual."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import SCHEDULES, alpha_bars, zero_terminal

__all__ = ["Noising", "Usual", "noising_of", "usual_of", "whole"]

_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_XL_SCALE = 5.0  # StableDiffusionXLPipeline's
_LCM_SCALE, _LCM_STEPS, _LCM_ORIGIN = 8.5, 4, 50  # LatentConsistencyModelPipeline's, LCMScheduler's
_EULERS = {
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
}


class Noising(NamedTuple):
    prediction: str  # epsilon, v_prediction, sample or flow
    alpha_bars: Tensor | None  # (T,) float64; None for flow


class Usual(NamedTuple):
    """How a model is sampled where nobody says.

    origin:  of a latent consistency model, the number of steps that it was distilled from: it knows
             their timesteps alone
    """

    steps: int = 20
    guidance_scale: float = 7.5
    sampler: str = "dpmpp_2m"
    origin: int | None = None


def usual_of(scheduler: Mapping[str, Any], unet: Mapping[str, Any], where: Path) -> Usual:
    """By the configs of a folder's scheduler and its U-Net.

    A latent consistency model (Luo et al. 2023) has LCM's scheduler, or a U-Net that is told the
    guidance scale. A Turbo (Sauer et al. 2023, "Adversarial diffusion distillation") predicts noise
    and is sampled by Euler from the noisiest timestep on ("trailing"), which no other model that
    predicts noise is published with: it takes one step and no guidance.
    """
    kind = str(scheduler.get("_class_name", ""))
    told = unet.get("time_cond_proj_dim") is not None
    if kind == "LCMScheduler" or told:
        origin = whole(scheduler.get("original_inference_steps", _LCM_ORIGIN), "its origin", where)
        return Usual(_LCM_STEPS, _LCM_SCALE if told else 1.0, "lcm", origin)
    trails = scheduler.get("timestep_spacing") == "trailing"
    noise = scheduler.get("prediction_type", "epsilon") == "epsilon"
    if kind in _EULERS and trails and noise and not scheduler.get("rescale_betas_zero_snr"):
        return Usual(1, 1.0, _EULERS[kind])
    xl = unet.get("addition_embed_type") == "text_time"
    return Usual(guidance_scale=_XL_SCALE) if xl else Usual()


def noising_of(config: Mapping[str, Any], path: Path) -> Noising:
    """What the network predicts and its table ᾱ. Raises BadInput for what is not known."""
    if str(config.get("_class_name", "")).startswith("FlowMatch"):
        return Noising("flow", None)
    if str(config.get("_class_name", "")).startswith("EDM"):
        raise BadInput(
            f"{str(path)!r} is of EDM's noise, which limner does not sample: give another"
        )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        known = ", ".join(_PREDICTIONS)
        raise BadInput(f"{str(path)!r} says prediction_type = {prediction!r}: known are {known}")
    table = _table(config, path)
    zero = config.get("rescale_betas_zero_snr")
    return Noising(prediction, zero_terminal(table) if zero else table)


def _table(config: Mapping[str, Any], path: Path) -> Tensor:
    total = whole(config.get("num_train_timesteps", 1000), "num_train_timesteps", path)
    schedule = config.get("beta_schedule", "linear")
    if config.get("trained_betas"):
        betas = torch.tensor(config["trained_betas"], dtype=torch.float64)
        return torch.cumprod(1 - betas, 0)
    if schedule == "squaredcos_cap_v2":
        return alpha_bars("cosine", total)
    low, high = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if schedule not in SCHEDULES[:2] or not 0 < low <= high < 1:
        raise BadInput(f"{str(path)!r} has the noise schedule {schedule!r} from {low} to {high}")
    root = 2 if schedule == "scaled_linear" else 1
    betas = torch.linspace(low ** (1 / root), high ** (1 / root), total, dtype=torch.float64)
    return torch.cumprod(1 - betas**root, 0)


def whole(value: Any, what: str, where: Path) -> int:
    """A config's number, which has to be a whole one above 0. Raises BadInput."""
    if not isinstance(value, int) or not 1 <= value <= 65536:
        raise BadInput(f"{str(where)!r} says {what} = {value!r}: expected a whole number above 0")
    return value
