"""The part of a picture that a model works on, at a size that it knows, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from limner.picture import resize

__all__ = ["Box", "Window", "around", "pixels_of", "window"]

Box = tuple[float, float, float, float]
"""Top, bottom, left and right, each from 0 to 1."""

_SHARE = 0.6  # of a side that a region takes
# What a convolutional model paints well beyond the size it was trained on, in shares of a side.
_ROOM = 1.5


@dataclass(frozen=True)
class Window:
    """`rows` × `columns` of a picture; it is brought to `scaled` (h, w) pixels, and to multiples of
    `by` by repeating its last row and column."""

    rows: slice
    columns: slice
    scaled: tuple[int, int]
    by: int

    @property
    def size(self) -> tuple[int, int]:
        """Pixels of the window itself, (h, w)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def view(self, picture: Tensor) -> Tensor:
        """(b, c, H, W) in [0, 1] → what the model sees of it (b, c, h, w)."""
        return self._padded(resize(picture[:, :, self.rows, self.columns], self.scaled))

    def cells(self, mask: Tensor) -> Tensor:
        """(1, 1, H, W) → (1, 1, h/by, w/by): 1 for each cell of which any part is above 0."""
        touched = (mask[:, :, self.rows, self.columns] > 0).float()
        if self.scaled != self.size:
            touched = functional.adaptive_max_pool2d(touched, self.scaled)
        return functional.max_pool2d(self._padded(touched), self.by)

    def back(self, painted: Tensor) -> Tensor:
        """What the model painted (b, c, h, w) → the window's own pixels (b, c, *size)."""
        height, width = self.scaled
        return resize(painted[:, :, :height, :width], self.size)

    def _padded(self, pixels: Tensor) -> Tensor:
        down, across = (-side % self.by for side in self.scaled)
        return functional.pad(pixels, (0, across, 0, down), mode="replicate")


def window(size: tuple[int, int], side: int, by: int, mask: Tensor | None = None) -> Window:
    """How a picture of (H, W) pixels is worked on by a model of `side` pixels.

    All of it where its longer side is at most one and a half times the model's, or without a mask
    (1, 1, H, W); else the square about what is above 0, see `around`. Where the window's longer
    side is shorter than the model's it is enlarged to that, where it is longer than one and a half
    of it it is made small; between, pixels stay as they are.
    """
    rows, columns = slice(0, size[0]), slice(0, size[1])
    if mask is not None and max(size) > _ROOM * side:
        rows, columns = pixels_of(around((mask > 0).float()), size)
    sides = (rows.stop - rows.start, columns.stop - columns.start)
    longest = max(sides)
    scale = min(max(longest, side), _ROOM * side) / longest
    down, across = (max(1, round(each * scale)) for each in sides)
    return Window(rows, columns, (down, across), by)


def around(*regions: Tensor) -> Box:
    """The square about the first region (1, 1, h, w) that is anywhere, which takes 60% of its side;
    no larger than the picture, no smaller than a quarter of it, and all of it without a region.

    A thing that is small in the picture is large in what is seen; what is farther from it stays.
    """
    height, width = regions[0].shape[2:]
    insides = (where[0, 0] > 0.5 for where in regions)
    inside = next((each for each in insides if bool(each.any())), torch.ones(height, width))
    spans = []
    for axis in (1, 0):
        rows = inside.any(axis).nonzero().flatten()
        spans.append((int(rows[0]), int(rows[-1]) + 1))
    side = max(*(b - a for a, b in spans), _SHARE * min(height, width) / 4) / _SHARE
    ends = []
    for (a, b), length in zip(spans, (height, width)):
        half = min(side, length) / 2
        middle = min(max((a + b) / 2, half), length - half)
        ends += [(middle - half) / length, (middle + half) / length]
    return ends[0], ends[1], ends[2], ends[3]


def pixels_of(box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns, of a picture of (h, w) pixels, that a box touches."""
    height, width = size
    top, bottom, left, right = box
    rows = slice(math.floor(top * height), math.ceil(bottom * height))
    return rows, slice(math.floor(left * width), math.ceil(right * width))
