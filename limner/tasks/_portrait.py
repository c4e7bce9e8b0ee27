"""What the ways to edit with a StyleGAN2 share: the picture's w+, whose face it is, and the layer.

The generator paints one square: the picture's middle one is edited. What the generator cannot paint
stays: the layer is opaque only where the edit changed something.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators.stylegan import stylegan
from limner.judges import Judge
from limner.models.embedded import folder
from limner.models.stylegan import StyleGAN
from limner.picture import resize
from limner.tasks._editing import Order, Report
from limner.tasks._spaces import fitted

__all__ = ["found", "identities", "painted_over", "unchanged"]

# Between these differences from what the generator painted before, the largest of the channels and
# averaged over 5 × 5 pixels, a layer goes from transparent to opaque: 5 and 20 of 255 levels.
_SAME, _OTHER = 0.02, 0.08
_AROUND = 5


def found(order: Order, model: StyleGAN, report: Report) -> Latent:
    """The latent, w+ and noise, of the picture's middle square, in the order's steps; or as the
    order has it."""
    if order.latent is not None:
        return order.latent
    size = (model.size, model.size)
    steps = stylegan(model).inverting(fitted(order.picture[0], size), steps=order.steps)
    reached: Latent = {}
    for number, latent in enumerate(steps, 1):
        reached = latent
        report(number, lambda: unchanged(order))
    return reached


def identities(model: StyleGAN) -> Callable[[Tensor], Judge] | None:
    """reference (1 or b, 3, h, w) → the judge of whether pictures show the same face; None where
    limner's own network that tells faces apart is not here, or knows no such faces: it has seen
    those of limner's world alone."""
    if model.world != "faces":
        return None
    try:
        folder("identity")
    except BadInput:
        return None
    from limner.judges.identity import Identity
    from limner.models.faces import open_identity

    network = open_identity("embedded")

    def judge(reference: Tensor) -> Judge:
        return Identity(reference, network)

    return judge


def unchanged(order: Order) -> Tensor:
    """The layer that changes nothing."""
    return torch.cat([order.picture, torch.zeros_like(order.picture[:, :1])], 1)


def painted_over(order: Order, before: Tensor, after: Tensor) -> Tensor:
    """The layer over the picture of what the generator painted, (b, 3, s, s) before and after."""
    apart = (after - before).abs().amax(1, keepdim=True)
    smooth = functional.avg_pool2d(
        apart, _AROUND, stride=1, padding=_AROUND // 2, count_include_pad=False
    )
    alpha = ((smooth - _SAME) / (_OTHER - _SAME)).clamp(0, 1)
    height, width = order.picture.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    layer = unchanged(order)
    square = resize(torch.cat([after, alpha], 1), (side, side)).clamp(0, 1)
    layer[:, :, top : top + side, left : left + side] = square.to(layer)
    return layer
