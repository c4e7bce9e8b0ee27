"""Looking for things: how much of a picture a template explains, at every place, size and colour.

A picture is I, its background alone B. Painting a thing of colours T and coverage a over B gives
aT + (1 − a)B. What this explains is the fall of the squared error, over pixels of weight w:

    gain = Σ w [(I − B)² − (I − aT − (1 − a)B)²] = Σ w [2(I − B)·E − E²],   E = a(T − B).

Multiplied out, it is nine correlations of something of the picture with something of the template,
so that one Fourier transform gives the gain at every place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limner.measures._templates import RES, Bank
from limner.worlds.scenes import Thing

__all__ = ["Found", "Sight", "best_by_thing", "found", "gains", "hidden"]


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture and the background that is behind it: both (3, RES, RES) in [0, 1]."""

    picture: Tensor
    ground: Tensor


@dataclass(frozen=True, eq=False)
class Found:
    """A thing where it was found.

    gain:  squared error that it explains, summed over pixels and channels
    share: of the squared error within its outline, what it explains; 1 is all
    box:   left, top, right, bottom of the outline in pixels of RES
    cover: (RES, RES)
    """

    thing: Thing
    gain: float
    share: float
    box: tuple[int, int, int, int]
    side: int  # of its square, as an index of SIDES
    cover: Tensor

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


def gains(bank: Bank, sight: Sight, weight: Tensor, things: slice = slice(None)) -> Tensor:
    """The gain of every thing, size and place: (n, s, RES, RES); −inf where it would be cut off.

    weight: (RES, RES), what each pixel counts: 0 where something else hides the background
    """
    ground, change = sight.ground, sight.picture - sight.ground
    parts = [
        2 * weight * change,
        -2 * weight * (change * ground).sum(0, keepdim=True),
        -weight[None],
        2 * weight * ground,
        -weight * (ground * ground).sum(0, keepdim=True),
    ]
    spectrum = torch.fft.rfft2(torch.cat(parts)).flatten(1)
    valid = bank.valid[things]
    sizes = bank.valid.shape[1]
    rows = slice((things.start or 0) * sizes, None if things.stop is None else things.stop * sizes)
    product = (bank.spectra[rows] * spectrum).sum(1).unflatten(1, (RES, RES // 2 + 1))
    maps = torch.fft.irfft2(product, s=(RES, RES)).unflatten(0, valid.shape[:2])
    return maps.masked_fill_(~valid, -torch.inf)


def best_by_thing(maps: Tensor) -> Tensor:
    """(n, s, RES, RES) → the largest gain of each thing (n,)."""
    return maps.flatten(1).amax(1)


def found(bank: Bank, maps: Tensor, sight: Sight, weight: Tensor, first: int = 0) -> Found:
    """The thing, size and place of the largest gain; `first`: the bank's index of maps[0]."""
    at = int(maps.argmax())
    index, side, row, column = torch.unravel_index(torch.tensor(at), maps.shape)
    shift = (int(row), int(column))
    cover = bank.cover[first + index, side].roll(shift, (0, 1))
    drawn = bank.colours[first + index, side].roll(shift, (1, 2))
    solid = weight * (cover > 0)
    error = (solid * (sight.picture - drawn - (1 - cover) * sight.ground).square()).sum()
    before = (solid * (sight.picture - sight.ground).square()).sum()
    gain = float(maps.flatten()[at])
    share = float(1 - error / before.clamp(min=1e-9))
    thing = bank.things[first + int(index)]
    return Found(thing, gain, share, _box(cover), int(side), cover)


def hidden(*things: Found) -> Tensor:
    """The weight that is left when these things' outlines do not count: (RES, RES)."""
    left = torch.ones(RES, RES)
    for thing in things:
        left = left * (1 - thing.cover)
    return left


def _box(cover: Tensor) -> tuple[int, int, int, int]:
    rows, columns = ((cover >= 0.5).any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
