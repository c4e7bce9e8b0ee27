"""Curves, their antialiased coverage, and the canvas that takes them layer by layer.

Points are (n, 2) in pixels, x right and y down, the picture's corner at (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["SIDE", "Canvas", "Ink", "blot", "blur", "circle", "cover", "curve", "mix", "outline",
           "ramp", "stroke", "through"]  # fmt: skip

SIDE = 128
_FINE = 4  # samples a pixel and axis: 17 levels of coverage


class Ink:
    """Coverage (h, w) float32 in [0, 1] of the part of the picture that begins at ``at`` (y, x)."""

    def __init__(self, alpha: np.ndarray, at: tuple[int, int]) -> None:
        self.alpha, self.at = alpha, at
        self.box = np.s_[at[0] : at[0] + alpha.shape[0], at[1] : at[1] + alpha.shape[1]]

    def whole(self) -> np.ndarray:
        """(128, 128) float32: the coverage of the whole picture."""
        full = np.zeros((SIDE, SIDE), np.float32)
        full[self.box] = self.alpha
        return full

    def within(self, other: np.ndarray) -> Ink:
        """Cut by a coverage (128, 128) of the whole picture."""
        return Ink(self.alpha * other[self.box], self.at)

    def without(self, other: np.ndarray) -> Ink:
        """What such a coverage leaves of it."""
        return Ink(self.alpha * (1 - other[self.box]), self.at)

    def thin(self, opacity: float) -> Ink:
        """The same, less dense."""
        return Ink(self.alpha * np.float32(opacity), self.at)


def cover(*shapes: np.ndarray, soft: float = 0.0) -> Ink:
    """The union of closed polygons, each (n, 2), with edges blurred by ``soft`` pixels."""
    every = shapes[0] if len(shapes) == 1 else np.concatenate(shapes)
    y0, y1, x0, x1 = _box(every.min(0).tolist(), every.max(0).tolist(), 1 + 2 * soft)
    image = Image.new("L", ((x1 - x0) * _FINE, (y1 - y0) * _FINE))
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        # Pillow puts a pixel's centre at whole numbers
        draw.polygon(((shape - (x0, y0)) * _FINE - 0.5).ravel().tolist(), fill=255)
    image = image.reduce(_FINE)
    if soft:
        image = image.filter(ImageFilter.GaussianBlur(soft))
    alpha = np.asarray(image, np.float32)
    return Ink(alpha * np.float32(1 / 255), (y0, x0))


def _box(low: list[float], high: list[float], margin: float) -> tuple[int, int, int, int]:
    """Whole pixels around two corners (x, y), at least one, within the picture: y0 y1 x0 x1."""
    x0, y0 = (min(max(math.floor(c - margin), 0), SIDE - 1) for c in low)
    x1, y1 = (min(math.ceil(c + margin), SIDE) for c in high)
    return y0, max(y1, y0 + 1), x0, max(x1, x0 + 1)


@lru_cache(maxsize=16)
def _basis(count: int) -> np.ndarray:
    """Catmull and Rom's cubic (1974), (count, 4): weights of four neighbours."""
    t = np.arange(count)[:, None] / count
    return 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
    )


def outline(points: np.ndarray, count: int = 6) -> np.ndarray:
    """A smooth closed curve through (n, d) points: (n·count, d)."""
    n = len(points)
    padded = np.concatenate([points[-1:], points, points[:2]])
    near = np.stack([padded[0:n], padded[1 : n + 1], padded[2 : n + 2], padded[3 : n + 3]], 1)
    drawn: np.ndarray = (_basis(count) @ near).reshape(n * count, -1)
    return drawn


def curve(points: np.ndarray, count: int = 6) -> np.ndarray:
    """A smooth open curve through (n, d) points: ((n-1)·count + 1, d)."""
    points = np.asarray(points, np.float64)
    n = len(points) - 1
    first, last = 2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1]
    padded = np.concatenate([first, points, last])
    near = np.stack([padded[0:n], padded[1 : n + 1], padded[2 : n + 2], padded[3 : n + 3]], 1)
    drawn = (_basis(count) @ near).reshape(n * count, -1)
    return np.concatenate([drawn, points[-1:]])


def stroke(points: np.ndarray, width: float, start: float = 0.15, end: float = 0.15) -> np.ndarray:
    """The polygon of a line that is ``width`` thick in its middle and tapers to its ends."""
    thick = _taper(len(points), start, end) * (0.5 * width)
    ends = np.concatenate([points[:1], points, points[-1:]])
    along = ends[2:] - ends[:-2]
    reach = thick / np.sqrt((along * along).sum(1) + 1e-9)
    side = along[:, ::-1] * _ACROSS * reach[:, None]
    return np.concatenate([points + side, (points - side)[::-1]])


_ACROSS = np.array((-1.0, 1.0))


@lru_cache(maxsize=128)
def _taper(count: int, start: float, end: float) -> np.ndarray:
    """The thickness along a line, (count,): 1 in its middle, ``start`` and ``end`` at its ends."""
    t = np.linspace(0, 1, count)
    return np.maximum(np.sin(np.pi * t) ** 0.7, start * (1 - t) + end * t)


@lru_cache(maxsize=1)
def _pixels() -> tuple[np.ndarray, np.ndarray]:
    """Centres of the pixels: rows (128, 1) and columns (1, 128)."""
    centre = np.arange(SIDE, dtype=np.float32) + 0.5
    return centre[:, None], centre[None]


def blot(at: np.ndarray, rx: float, ry: float, turn: float = 0.0) -> Ink:
    """A soft spot: exp(-2.5 r²) of the ellipse with these radii, cut off where it is faint."""
    middle = at.tolist()
    y0, y1, x0, x1 = _box(middle, middle, 1.3 * max(rx, ry))
    rows, columns = _pixels()
    dy, dx = rows[y0:y1] - np.float32(at[1]), columns[:, x0:x1] - np.float32(at[0])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    r2 = ((dx * cos + dy * sin) / np.float32(rx)) ** 2
    r2 = r2 + ((dy * cos - dx * sin) / np.float32(ry)) ** 2
    faint = np.float32(np.exp(-2.5 * 1.3**2))
    return Ink(np.maximum(np.exp(np.float32(-2.5) * r2) - faint, 0), (y0, x0))


def blur(alpha: np.ndarray, radius: float) -> np.ndarray:
    """A coverage (128, 128) with soft edges."""
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    return soft * np.float32(1 / 255)


@lru_cache(maxsize=8)
def circle(count: int) -> np.ndarray:
    """A circle of radius 1 around the origin, (count, 2)."""
    turn = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def ramp(shades: Sequence[np.ndarray], stops: Sequence[float]) -> np.ndarray:
    """A table of 256 colours (256, 3) float32 through the shades at these stops in [0, 1]."""
    at = np.linspace(0, 1, 256)
    columns = np.stack(shades).T
    return np.stack([np.interp(at, stops, c) for c in columns], 1).astype(np.float32)


def through(table: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Levels (h, w) in [0, 1] → colours (h, w, 3) of a table by ``ramp``."""
    return table.take((np.clip(level, 0, 1) * 255).astype(np.uint8), 0)


def mix(first: Any, second: Any, share: Any) -> Any:
    """Between two numbers or arrays: ``share`` of the second, in [0, 1]."""
    return first + (second - first) * share


class Canvas:
    """The picture under the brush: ``rgb`` float32 (128, 128, 3) in 0…255 and ``parts`` uint8.

    ``parts`` holds for each pixel the number of the layer that covers it: the last one painted
    with a part of its own and a coverage of at least a half.
    """

    def __init__(self, ground: np.ndarray) -> None:
        self.rgb = ground.astype(np.float32)
        self.parts = np.zeros((SIDE, SIDE), np.uint8)

    def paint(self, ink: Ink, colour: np.ndarray, part: int | None = None) -> None:
        """Lay a colour over it: (3,), or one for each pixel of the ink, (h, w, 3)."""
        under = self.rgb[ink.box]
        under += (colour.astype(np.float32) - under) * ink.alpha[..., None]
        if part is not None:
            self.mark(ink, part)

    def mark(self, ink: Ink, part: int) -> None:
        """These pixels show this part."""
        self.parts[ink.box][ink.alpha >= 0.5] = part

    def tint(self, ink: Ink, factor: np.ndarray) -> None:
        """Multiply by (3,) factors where the ink is full, by less where it is thin."""
        self.rgb[ink.box] *= 1 + (factor.astype(np.float32) - 1) * ink.alpha[..., None]

    def finished(self) -> np.ndarray:
        """uint8 (128, 128, 3)."""
        return (np.clip(self.rgb, 0, 255) + np.float32(0.5)).astype(np.uint8)
