"""Masks: what is white may change, what is black does not."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.picture import load

__all__ = ["blended", "feathered", "mask_of"]

_COLOURED = 0.1  # between the channels of a pixel: more is no grey


def mask_of(name: str | Path, picture: Tensor) -> Tensor:
    """(1, 1, h, w) in [0, 1]: a file's grey values. BadInput where it is no mask of the picture
    (1, 3, h, w)."""
    pixels = load(name).pixels
    height, width = picture.shape[2:]
    if tuple(pixels.shape[1:]) != (height, width):
        raise BadInput(
            f"the mask {str(name)!r} is {pixels.shape[2]}x{pixels.shape[1]} and the picture "
            f"{width}x{height}: give a mask of that size"
        )
    if float((pixels.amax(0) - pixels.amin(0)).max()) > _COLOURED:
        raise BadInput(f"the mask {str(name)!r} has colours: give one of black, grey and white")
    mask = pixels.mean(0)[None, None]
    if float(mask.max()) < 0.5:
        raise BadInput(f"the mask {str(name)!r} has no white: what may be edited is white")
    return mask


def feathered(mask: Tensor, width: int) -> Tensor:
    """(1, 1, h, w), softened over `width` pixels inside its edges; outside nothing is added.

    The mean of the mask and its erosions by 1 … width pixels (square ones). At the picture's own
    edge, beyond which nothing is known, it stays.
    """
    total = worn = mask
    for _ in range(width):
        worn = -functional.max_pool2d(-worn, 3, stride=1, padding=1)
        total = total + worn
    return torch.minimum(total / (width + 1), mask)


def blended(picture: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
    """painted (b, c, h, w) over picture (1, c, h, w) by mask (1, 1, h, w): where it is 0, the
    picture's own numbers, bit for bit."""
    return torch.where(mask > 0, picture.lerp(painted, mask), picture)
