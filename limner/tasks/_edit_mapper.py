"""mapper: a network that was trained for the text moves the picture's w+ (Patashnik et al. 2021,
"StyleCLIP", section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.models.mapper import Mapped, open_mapper
from limner.tasks._editing import Order, Report, Usual
from limner.tasks._portrait import INVERSION_STEPS, found, painted_over

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=INVERSION_STEPS, strength=0.8, has_clips=False, opens=open_mapper)


def edit(order: Order, report: Report) -> Tensor:
    """w+ plus 2·strength times what the mapper says: at ½ as it was trained."""
    model = order.model
    assert isinstance(model, Mapped)  # open_mapper gives it
    if order.text.strip().lower() != model.text.strip().lower():
        raise BadInput(
            f"the mapper {model.name!r} was trained for {model.text!r}, not for {order.text!r}: "
            "give that text, or another mapper (--model)"
        )
    generator = stylegan(model.generator)
    latent = found(order, model.generator, report)
    with torch.no_grad():
        change = 2 * order.strength * model.change(latent["w+"])
        before = generator.render(latent)
        after = generator.render(latent | {"w+": latent["w+"] + change})
    return painted_over(order, before, after)
