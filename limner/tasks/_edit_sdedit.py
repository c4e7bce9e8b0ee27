"""sdedit: noise on the picture, and a text-to-image model that takes it away (Meng et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.tasks._editing import Order, Report, Usual, opaque
from limner.tasks._paint import Plan, states
from limner.tasks._repaint import restyled

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=20, strength=0.6, has_clips=False, opens=open_model)


@torch.no_grad()
def edit(order: Order, report: Report) -> Tensor:
    """`limner restyle`, whose picture is a layer, so that a mask may confine it."""
    model = order.model
    assert isinstance(model, TextToImage)  # open_model gives it
    plan = Plan(
        prompt=order.text,
        negative="",
        seed=order.seed,
        steps=order.steps,
        guidance_scale=model.guidance_scale,
        guidance_interval=(0.0, 1.0),
        guidance_rescale=0.0,
        sampler="dpmpp_2m",
        size=(model.size, model.size),
    )
    course = restyled(model, plan, order.picture, order.strength)

    def layer(latents: Tensor) -> Tensor:
        return opaque(course.finish(model.decode(latents)))

    x = torch.empty(0)
    for state in states(course, plan, order.noise.samples):
        x = state.x
        seen = state.denoised
        report(state.step, lambda seen=seen: layer(seen))  # type: ignore[misc]
    return layer(x)
