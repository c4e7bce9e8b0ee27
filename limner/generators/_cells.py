"""Cells of one colour each: which cell a point is in, and how much of each pixel a cell covers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["SHAPES", "Cover", "cover"]

_SAMPLES, _TURN = 144, 89  # neighbours among Fibonacci's numbers
_AT_ONCE = 4096  # pixels


class Cover(NamedTuple):
    """Pixel and cell that overlap, by their numbers, and the share of the pixel's area, each (m,).

    Shares of one pixel sum to 1. Pixels are numbered row by row.
    """

    pixel: Tensor
    cell: Tensor
    share: Tensor
    cells: int  # how many there are


def cover(size: tuple[int, int], cells: tuple[int, int], shape: str) -> Cover:
    """What the cells (columns, rows) of a shape cover of a picture of size (width, height)."""
    (width, height), (columns, rows) = size, cells
    at, count = SHAPES[shape]
    total = count(columns, rows)

    def cells_of(pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The cells (n, m) at m places (x, y) in [0, 1]² of n pixels."""
        u, v = (pixels % width)[:, None] + x, (pixels // width)[:, None] + y
        return at(u * (columns / width), v * (rows / height), columns, rows)

    parts = []
    for pixels in torch.arange(width * height).split(_AT_ONCE):
        corners = cells_of(pixels, *_corners())
        # Cells are convex: a pixel is within one when its corners are.
        split = (corners != corners[:, :1]).any(1)
        one = corners[~split, 0]
        parts.append((pixels[~split], one, torch.ones(len(one), dtype=torch.float64)))
        some = pixels[split]
        keys = some[:, None] * total + cells_of(some, *_lattice())
        keys, times = keys.unique(return_counts=True)
        parts.append((keys // total, keys % total, times.double() / _SAMPLES))
    pixel, cell, share = (torch.cat(part) for part in zip(*parts))
    return Cover(pixel, cell, share, total)


def _corners() -> tuple[Tensor, Tensor]:
    """(x, y) of four places in [0, 1]², not quite its corners: an edge along pixels splits none."""
    ends = torch.tensor([1e-3, 1 - 1e-3], dtype=torch.float64)
    return ends.repeat(2), ends.repeat_interleave(2)


def _lattice() -> tuple[Tensor, Tensor]:
    """(x, y) of 144 places in [0, 1]²: a Fibonacci lattice (Niederreiter 1992, section 5.3).

    Seen from either side they are 144 different places, so that an edge's share of a pixel comes in
    steps of 1/144.
    """
    step = torch.arange(_SAMPLES, dtype=torch.float64)
    return (step + 0.5) / _SAMPLES, (step * _TURN % _SAMPLES + 0.5) / _SAMPLES


def _square(u: Tensor, v: Tensor, columns: int, rows: int) -> Tensor:
    """Points in [0, columns] × [0, rows] → cells, row by row; so below."""
    column, row = u.floor().clamp(max=columns - 1), v.floor().clamp(max=rows - 1)
    return (row * columns + column).long()


def _triangle(u: Tensor, v: Tensor, columns: int, rows: int) -> Tensor:
    """Triangles, two columns wide, stand on base and tip in turn; those at the ends are cut off.

    Between neighbours runs a line that leans half a column left or right, by turns.
    """
    row = v.floor().clamp(max=rows - 1)
    line = (u + 0.5).floor()  # of the row's lines, at columns 1, 2, …, the nearest
    lean = 1 - 2 * ((line + row) % 2)
    column = torch.where(u < line + lean * (v - row - 0.5), line - 1, line)
    return (row * columns + column.clamp(0, columns - 1)).long()


def _staggered(pitch: float) -> Callable[[Tensor, Tensor, int, int], Tensor]:
    """Cells around centres in rows, each odd row half a column aside, with one cell more.

    A point is in the cell of the nearest centre, where rows are `pitch` columns apart. Along the
    picture's edge that cuts cells off or lengthens them.
    """

    def at(u: Tensor, v: Tensor, columns: int, rows: int) -> Tensor:
        least = torch.full_like(u, torch.inf)
        cell = torch.zeros_like(u)
        for near in (-1, 0, 1):
            row = (v.floor() + near).clamp(0, rows - 1)
            odd = row % 2
            column = torch.minimum((u + odd / 2).floor(), columns - 1 + odd)
            across, down = u - column - (1 - odd) / 2, v - row - 0.5
            distance = across**2 + (pitch * down) ** 2
            cell = torch.where(distance < least, row * columns + (row / 2).floor() + column, cell)
            least = torch.minimum(distance, least)
        return cell.long()

    return at


def _in_rows(columns: int, rows: int) -> int:
    return columns * rows


def _in_staggered_rows(columns: int, rows: int) -> int:
    return columns * rows + rows // 2


SHAPES = {
    "square": (_square, _in_rows),
    "hexagon": (_staggered(math.sqrt(3) / 2), _in_staggered_rows),
    "triangle": (_triangle, _in_rows),
    "diamond": (_staggered(0.5), _in_staggered_rows),
}
"""The cell at a point, and the number of cells. At the staggered rows' pitches, the nearest
centre's cells are hexagons of equal sides, and diamonds as high as wide."""
