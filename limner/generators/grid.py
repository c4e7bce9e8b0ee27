"""Grid: cells of one colour each, after PixelDraw: squares, hexagons, triangles or diamonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._cells import SHAPES, cover
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.noise import Noise

__all__ = ["Grid"]

_NOISE = 0.1  # standard deviation of the start's colours around mid grey, or of its logits


class Grid:
    """Pictures of size (width, height) out of cells (columns, rows).

    shape:    square, hexagon, triangle or diamond. Every point is in one cell; a pixel that an edge
              crosses has the mean of its cells' colours by area. Every second row of hexagons and
              diamonds is half a column aside and has one cell more; rows of diamonds overlap by
              half, and a triangle is two columns wide.
    palette:  RGB colours in [0, 1], of which every cell takes one; None: any colour.

    latent, for n cells: `colours` (b, 3, n) in [0, 1], or with p colours in the palette `logits`
    (b, p, n), any values, the largest of which is the cell's choice. Their gradient is that of the
    softmax (Bengio et al. 2013, "straight-through").
    """

    def __init__(
        self,
        size: tuple[int, int],
        cells: tuple[int, int] = (40, 40),
        shape: str = "square",
        palette: Sequence[Sequence[float]] | None = None,
    ) -> None:
        if shape not in SHAPES:
            raise BadInput(f"no cells are called {shape!r}: choose one of {', '.join(SHAPES)}")
        self.size = checked(size)
        self.cells = checked(cells, self.size, "cells")
        self.palette = None if palette is None else _checked(palette)
        self.rates: Mapping[str, float] = {"colours": 0.03} if palette is None else {"logits": 0.05}
        self._cover = cover(self.size, self.cells, shape)

    def start(self, noise: Noise) -> Latent:
        """Near mid grey; with a palette, any of its colours."""
        if self.palette is None:
            return self.constrain({"colours": 0.5 + _NOISE * noise.normal((3, self._cover.cells))})
        return {"logits": _NOISE * noise.normal((len(self.palette), self._cover.cells))}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]."""
        if self.palette is None:
            colours = latent["colours"]
        else:
            choice = _choice(latent["logits"])
            colours = torch.einsum("pc,bpn->bcn", self.palette.to(choice), choice)
        pixel, cell, share, _ = self._cover
        width, height = self.size
        pictures = _gathered(colours, cell, pixel, share, width * height)
        return clamp(pictures).unflatten(2, (height, width))

    def constrain(self, latent: Latent) -> Latent:
        """Each colour brought into [0, 1]; logits as they are."""
        return latent if self.palette is not None else {"colours": latent["colours"].clamp(0, 1)}

    def invert(self, pictures: Tensor) -> Latent:
        """Each cell's mean colour in pictures (b, 3, h, w), or the palette's nearest to it."""
        flat = fitting(pictures, self.size).flatten(2)
        pixel, cell, share, count = self._cover
        means = _gathered(flat, pixel, cell, share, count)
        means = means / _gathered(torch.ones_like(flat), pixel, cell, share, count)
        if self.palette is None:
            return {"colours": means.clamp(0, 1)}
        away = means[:, None] - self.palette.to(means)[None, :, :, None]  # (b, p, 3, n)
        return {"logits": -away.square().sum(2)}


def _checked(palette: Sequence[Sequence[float]]) -> Tensor:
    """The palette as (p, 3)."""
    colours = [tuple(colour) for colour in palette]
    if not colours or any(len(c) != 3 or not all(0 <= v <= 1 for v in c) for c in colours):
        raise BadInput(f"palette {colours}: give one or more colours (r, g, b), each from 0 to 1")
    return torch.tensor(colours)


def _choice(logits: Tensor) -> Tensor:
    """(b, p, n) → one 1 among p zeros, with the gradient of the softmax."""
    soft = logits.softmax(1)
    hard = functional.one_hot(logits.argmax(1), logits.shape[1]).movedim(2, 1)
    return hard + (soft - soft.detach())  # the bracket is exactly 0


def _gathered(values: Tensor, of: Tensor, to: Tensor, share: Tensor, count: int) -> Tensor:
    """(b, c, n) → (b, c, count): at to[i] the sum of share[i] · values[of[i]]."""
    parts = values.gather(2, of.to(values.device).expand(*values.shape[:2], -1)) * share.to(values)
    out = values.new_zeros(*values.shape[:2], count)
    return out.scatter_add(2, to.to(values.device).expand_as(parts), parts)
