"""What the ways to edit with a StyleGAN2 share: the picture's w+, whose face it is, and the layer.

The generator paints one square: the picture's middle one is edited. What the generator cannot paint
stays: the layer is opaque only where the edit changed something, and has the picture's own detail.
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

__all__ = ["INVERSION_STEPS", "found", "identities", "painted_over", "unchanged"]

# Few: what is nearest to a picture lies where the generator paints badly, whatever changes (Tov et
# al. 2021, "Designing an Encoder for StyleGAN Image Manipulation", the trade-off of distortion and
# editability), and what an inversion misses is carried over from the picture.
INVERSION_STEPS = 20
# Between these differences from what the generator painted before, the largest of the channels and
# averaged over 5 × 5 pixels, a layer goes from transparent to opaque: 5 and 20 of 255 levels.
_SAME, _OTHER = 0.02, 0.08
_GONE = 0.35  # from _OTHER to this, less and less of the picture's own detail is carried over
_AROUND = 5


def found(order: Order, model: StyleGAN, report: Report, steps: int | None = None) -> Latent:
    """The latent, w+ and noise, of the picture's middle square, in so many steps, or the order's;
    or as the order has it."""
    if order.latent is not None:
        return order.latent
    size, steps = (model.size, model.size), steps or order.steps
    states = stylegan(model).inverting(fitted(order.picture[0], size), steps=steps)
    reached: Latent = {}
    for number, latent in enumerate(states, 1):
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
    """The layer over the picture of what the generator painted, (b, 3, s, s) before and after.

    Where little changed, the picture's own detail, which the generator cannot paint, is carried
    over; where much did, what was there is gone.
    """
    apart = functional.avg_pool2d(
        (after - before).abs().amax(1, keepdim=True),
        _AROUND,
        stride=1,
        padding=_AROUND // 2,
        count_include_pad=False,
    )
    height, width = order.picture.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    layer = unchanged(order)
    square = layer[:, :, top : top + side, left : left + side]
    before, after, alpha, own = (
        resize(each, (side, side)).to(layer)
        for each in (before, after, _ramp(apart, _SAME, _OTHER), 1 - _ramp(apart, _OTHER, _GONE))
    )
    square[:, :3] = (after + own * (square[:, :3] - before)).clamp(0, 1)
    square[:, 3:] = alpha
    return layer


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    return ((values - low) / (high - low)).clamp(0, 1)
