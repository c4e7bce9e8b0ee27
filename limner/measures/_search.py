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
from torch.nn import functional

from limner.measures._templates import RES, Bank
from limner.worlds.scenes import Thing

__all__ = ["Found", "Scores", "Sight", "contrast", "found", "gains", "hidden", "scored"]


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture and the background that is behind it: both (3, r, r) in [0, 1]."""

    picture: Tensor
    ground: Tensor

    def error(self, *things: Found) -> float:
        """The squared error that is left when these things, farthest first, explain the picture."""
        drawn = self.ground
        for thing in things:
            drawn = thing.colours + (1 - thing.cover) * drawn
        return float((self.picture - drawn).square().sum())


@dataclass(frozen=True, eq=False)
class Found:
    """A thing where it was found.

    gain:    squared error that it explains, summed over pixels and channels
    share:   how much of what is to be explained under it that is; 1 is all
    box:     left, top, right, bottom of its outline in pixels
    corner:  left, top of its square, which may lie outside the picture
    side:    of its square, as an index of the bank's sides
    colours: (3, r, r), premultiplied
    cover:   (r, r)
    """

    thing: Thing
    gain: float
    share: float
    box: tuple[int, int, int, int]
    corner: tuple[int, int]
    side: int
    colours: Tensor
    cover: Tensor

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, eq=False)
class Scores:
    """Of every thing and size, where it gains most: gain and its share (n, s), and the place."""

    gain: Tensor
    share: Tensor
    rows: Tensor
    columns: Tensor

    @property
    def value(self) -> Tensor:
        """gain · share (n, s): a large template over several things, or over a part of one, gains
        much but leaves much unexplained."""
        return self.gain * self.share.clamp(min=0)


def scored(bank: Bank, sight: Sight, weight: Tensor) -> Scores:
    """How well every thing in every size explains the picture.

    weight: (r, r), what each pixel counts: 0 where something else hides the background
    """
    maps = gains(bank, sight, weight)
    res = maps.shape[-1]
    gain, at = maps.flatten(2).max(2)
    rows, columns = at // res, at % res
    energy = weight * (sight.picture - sight.ground).square().sum(0)
    along = torch.arange(res)
    ys, xs = (rows[..., None] + along) % res, (columns[..., None] + along) % res
    under = (energy[ys[..., :, None], xs[..., None, :]] * bank.cover).sum((2, 3))
    # What is hardly there at all is explained by nothing: noise of 2% a channel under all of it.
    floor = bank.cover.sum((2, 3)) * 3 * 0.02**2
    return Scores(gain, gain / (under + floor), rows, columns)


def gains(bank: Bank, sight: Sight, weight: Tensor) -> Tensor:
    """The gain of every thing, size and place: (n, s, r, r); −inf where it would be cut off."""
    ground, change = sight.ground, sight.picture - sight.ground
    parts = [
        2 * weight * change,
        -2 * weight * (change * ground).sum(0, keepdim=True),
        -weight[None],
        2 * weight * ground,
        -weight * (ground * ground).sum(0, keepdim=True),
    ]
    spectrum = torch.fft.rfft2(torch.cat(parts)).flatten(1)
    product = bank.spectra[0] * spectrum[0]
    for template, part in zip(bank.spectra[1:], spectrum[1:]):
        product.addcmul_(template, part)
    res = bank.cover.shape[-1]
    maps = torch.fft.irfft2(product.unflatten(1, (res, res // 2 + 1)), s=(res, res))
    return maps.unflatten(0, bank.valid.shape[:2]).masked_fill_(~bank.valid, -torch.inf)


def found(bank: Bank, scores: Scores) -> Found:
    """The thing and size of the best score, at its place."""
    index, side = divmod(int(scores.value.argmax()), scores.value.shape[1])
    shift = (int(scores.rows[index, side]), int(scores.columns[index, side]))
    cover = bank.cover[index, side].roll(shift, (0, 1))
    return Found(
        thing=bank.things[index],
        gain=float(scores.gain[index, side]),
        share=float(scores.share[index, side]),
        box=_box(cover),
        corner=(_signed(shift[1], bank, side), _signed(shift[0], bank, side)),
        side=side,
        colours=bank.colours[index, side].roll(shift, (1, 2)),
        cover=cover,
    )


def contrast(thing: Found, sight: Sight, weight: Tensor) -> float:
    """How many times farther the picture is from the background within a thing than around it.

    A picture that is nowhere like the background has all things everywhere; this tells them from
    one that stands before it. Around: the second and third pixel from the outline.
    """
    energy = (sight.picture - sight.ground).square().sum(0)
    near, far = (functional.max_pool2d(thing.cover[None], k, 1, k // 2)[0] for k in (3, 7))
    inside, around = weight * thing.cover, weight * (far - near)
    means = [float((energy * w).sum() / w.sum().clamp(min=1e-6)) for w in (inside, around)]
    return means[0] / max(means[1], 1e-4)


def hidden(*things: Found) -> Tensor:
    """The weight that is left when these things' outlines do not count: (r, r).

    With a pixel around them: what they leave unexplained there is their own edge.
    """
    left = torch.ones(RES, RES)
    for thing in things:
        left = left * (1 - functional.max_pool2d(thing.cover[None], 3, 1, 1)[0])
    return left


def _signed(start: int, bank: Bank, side: int) -> int:
    """A circular start as a place: what would end far beyond the edge begins before the other."""
    res = bank.cover.shape[-1]
    return start - res if start + bank.sides[side] > res + 8 else start


def _box(cover: Tensor) -> tuple[int, int, int, int]:
    rows, columns = ((cover >= 0.5).any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
