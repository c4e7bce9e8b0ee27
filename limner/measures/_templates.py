"""What the eye of `compose` compares pictures with: the world's own sprites, small, in many sizes.

Everything is at RES pixels a side, where a picture's blur or noise is gone and its objects are
still told apart; only materials are looked at closer. Colours are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from limner.worlds.scenes import Thing

__all__ = ["RES", "SIDES", "Bank", "bank", "of_templates", "seen"]

RES = 32
# Sides of an object's square in pixels of RES, each 7 to 14% over the last: from 4/5 of the world's
# smallest to its largest. What lies between two of them still matches best with one of the two.
SIDES = (10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 26)
_SOLID = 0.5  # of coverage: what counts as within an object's outline


@dataclass(frozen=True, eq=False)
class Bank:
    """Templates of things: n things in s sizes, each in the corner of a picture of r × r pixels.

    sides:   of the things' squares, in pixels
    colours: (n, s, 3, r, r), premultiplied
    cover:   (n, s, r, r), 0 to 1
    spectra: (9, n·s, r·(r/2 + 1)) complex: what `gains` correlates pictures with
    valid:   (n, s, r, r), true where an object may begin: its outline stays in the picture
    """

    things: tuple[Thing, ...]
    sides: tuple[int, ...]
    colours: Tensor
    cover: Tensor
    spectra: Tensor
    valid: Tensor

    def only(self, thing: int, side: int) -> Bank:
        """One thing in one of the sizes and the next smaller and larger ones."""
        sides = slice(max(side - 1, 0), side + 2)
        one = slice(thing, thing + 1)
        spectra = self.spectra.unflatten(1, self.valid.shape[:2])[:, one, sides].flatten(1, 2)
        colours, cover, valid = (
            each[one, sides] for each in (self.colours, self.cover, self.valid)
        )
        return Bank((self.things[thing],), self.sides[sides], colours, cover, spectra, valid)


def seen(pictures: Tensor, res: int = RES) -> Tensor:
    """Pictures (b, 3, h, w) of any size → (b, 3, res, res), each pixel the mean of its area."""
    return functional.interpolate(pictures.float(), size=(res, res), mode="area")


def bank(
    things: Sequence[Thing],
    sprite: Callable[[Thing], np.ndarray],
    res: int = RES,
    sides: Sequence[int] = SIDES,
) -> Bank:
    """Templates of these things; `sprite(thing)` is uint8 (h, w, 4), straight alpha."""
    rgba = np.stack([sprite(thing) for thing in things]).astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    whole = torch.from_numpy(rgba).permute(0, 3, 1, 2)
    small = torch.zeros(len(things), len(sides), 4, res, res)
    for i, side in enumerate(sides):
        small[:, i, :, :side, :side] = functional.interpolate(
            whole, size=(side, side), mode="bilinear", antialias=True
        )
    return of_templates(things, small, sides)


def of_templates(things: Sequence[Thing], small: Tensor, sides: Sequence[int] = SIDES) -> Bank:
    """small: (n, s, 4, r, r), premultiplied."""
    colours, cover = small[:, :, :3], small[:, :, 3]
    squared = (colours * colours).sum(2, keepdim=True)
    a = cover[:, :, None]
    stack = torch.cat([colours, a, squared, a * colours, a * a], 2).flatten(0, 1)
    spectra = torch.fft.rfft2(stack.transpose(0, 1).contiguous()).conj().resolve_conj().flatten(2)
    return Bank(tuple(things), tuple(sides), colours, cover, spectra, _valid(cover))


def _valid(cover: Tensor) -> Tensor:
    """Where a template may begin so that its outline is within the picture."""
    rows = _reach((cover >= _SOLID).any(3))
    columns = _reach((cover >= _SOLID).any(2))
    return rows[..., :, None] & columns[..., None, :]


def _reach(ink: Tensor) -> Tensor:
    """ink: (n, s, r) bool along one axis → the same shape: starts (circular) that keep it in."""
    res = ink.shape[-1]
    places = torch.arange(res)
    first = torch.where(ink, places, res).amin(-1, keepdim=True)
    last = torch.where(ink, places, -1).amax(-1, keepdim=True)
    before = places - res  # a start before the picture's edge: the square's rim is empty
    fits = (places + last < res) | ((before + first >= 0) & (before + last < res))
    return fits
