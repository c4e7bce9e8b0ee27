"""What the eye of `compose` compares pictures with: the world's own sprites, small, in many sizes.

Everything here is at RES pixels a side, where a picture's blur or noise is gone and its objects are
still told apart. Colours are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from limner.worlds.scenes import Thing

__all__ = ["RES", "SIDES", "Bank", "bank", "seen"]

RES = 32
# Sides of an object's square in pixels of RES, each 7 to 14% over the last: from 4/5 of the world's
# smallest to its largest. What lies between two of them still matches best with one of the two.
SIDES = (10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 26)
_SOLID = 0.5  # of coverage: what counts as within an object's outline


@dataclass(frozen=True, eq=False)
class Bank:
    """Templates of things: n things in s sizes, each in the corner of a picture of RES × RES.

    colours: (n, s, 3, RES, RES), premultiplied
    cover:   (n, s, RES, RES), 0 to 1
    spectra: (n·s, 9, RES·(RES/2 + 1)) complex: what `gains` correlates pictures with
    valid:   (n, s, RES, RES), true where an object may begin: its outline stays in the picture
    """

    things: tuple[Thing, ...]
    colours: Tensor
    cover: Tensor
    spectra: Tensor
    valid: Tensor


def seen(pictures: Tensor) -> Tensor:
    """Pictures (b, 3, h, w) of any size → (b, 3, RES, RES), each pixel the mean of its area."""
    return functional.interpolate(pictures.float(), size=(RES, RES), mode="area")


def bank(things: Sequence[Thing], sprite: Callable[[Thing], np.ndarray]) -> Bank:
    """Templates of these things; `sprite(thing)` is uint8 (h, w, 4), straight alpha."""
    rgba = np.stack([sprite(thing) for thing in things]).astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    whole = torch.from_numpy(rgba).permute(0, 3, 1, 2)
    small = torch.zeros(len(things), len(SIDES), 4, RES, RES)
    for i, side in enumerate(SIDES):
        small[:, i, :, :side, :side] = functional.interpolate(
            whole, size=(side, side), mode="bilinear", antialias=True
        )
    return of_templates(things, small)


def of_templates(things: Sequence[Thing], small: Tensor) -> Bank:
    """small: (n, s, 4, RES, RES), premultiplied."""
    colours, cover = small[:, :, :3], small[:, :, 3]
    squared = (colours * colours).sum(2, keepdim=True)
    a = cover[:, :, None]
    stack = torch.cat([colours, a, squared, a * colours, a * a], 2).flatten(0, 1)
    spectra = torch.fft.rfft2(stack).conj().resolve_conj().flatten(2)
    return Bank(tuple(things), colours, cover, spectra, _valid(cover))


def _valid(cover: Tensor) -> Tensor:
    """Where a template may begin so that its outline is cut by at most one pixel on each side."""
    rows = _reach((cover >= _SOLID).any(3))
    columns = _reach((cover >= _SOLID).any(2))
    return rows[..., :, None] & columns[..., None, :]


def _reach(ink: Tensor) -> Tensor:
    """ink: (n, s, RES) bool along one axis → the same shape: starts (circular) that keep it in."""
    places = torch.arange(RES)
    first = torch.where(ink, places, RES).amin(-1, keepdim=True)
    last = torch.where(ink, places, -1).amax(-1, keepdim=True)
    start = torch.where(places > RES // 2 + 10, places - RES, places)  # the far end means before 0
    return (start + first >= -1) & (start + last <= RES)
