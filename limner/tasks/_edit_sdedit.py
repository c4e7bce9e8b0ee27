"""sdedit: noise on the picture, and a text-to-image model that takes it away (Meng et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.levels import CLEAN, Level, level_at
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.samplers.dpmpp_2m import dpmpp_2m
from limner.tasks._editing import Order, Report, Usual, opaque
from limner.tasks._paint import Plan, guided

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=20, strength=0.6, has_clips=False, opens=open_model)


@torch.no_grad()
def edit(order: Order, report: Report) -> Tensor:
    """x = α·x0 + σ·n at the noise level that `strength` chooses, then `steps` steps to clean
    (algorithm 1; its SDE is solved without further noise)."""
    model = order.model
    assert isinstance(model, TextToImage)  # open_model gives it
    small, _ = order.fitted(model.size, model.downscale, enlarge=True)
    plan = Plan(
        prompt=order.text,
        negative="",
        seed=order.seed,
        steps=order.steps,
        guidance_scale=model.guidance_scale,
        guidance_interval=(0.0, 1.0),
        guidance_rescale=0.0,
        sampler="dpmpp_2m",
        size=(small.shape[3], small.shape[2]),
    )
    along = levels(model, order.steps, order.strength)
    x0 = model.encode(small)
    x = along[0].alpha * x0 + along[0].sigma * order.noise.normal(x0.shape[1:])
    for state in dpmpp_2m(guided(model, plan), x, along, noise=order.noise):
        x = state.x
        seen = state.denoised
        report(state.step, lambda seen=seen: opaque(model.decode(seen)))  # type: ignore[misc]
    return opaque(model.decode(x))


def levels(model: TextToImage, steps: int, strength: float) -> list[Level]:
    """steps + 1 levels: evenly in time from the share `strength` of the model's time to clean."""
    left = [strength * (1 - i / steps) for i in range(steps)]
    if model.alpha_bars is None:
        return [*(Level(1 - t, t) for t in left), CLEAN]
    last = len(model.alpha_bars) - 1
    return [*(level_at(model.alpha_bars, t * last) for t in left), CLEAN]
