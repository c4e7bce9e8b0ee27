"""Masks to learn inpainting from: boxes, strokes, things' boxes, sides and all of a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["hole"]

_THING, _BOX, _STROKES = 0.45, 0.2, 0.15  # shares; of the rest, sides
_WIDER = 3  # cells by which a thing's box grows on a side, at most


def hole(side: int, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is to be painted anew: bool (side, side), of latent cells; never none of it.

    boxes: (n, 4), x0 y0 x1 y1 in shares of the picture, of the things in it; n may be 0
    """
    kind = rng.random()
    if len(boxes) and kind < _THING:
        return _things(side, boxes, rng)
    if kind < _THING + _BOX:
        return _box(side, rng)
    if kind < _THING + _BOX + _STROKES:
        return _strokes(side, rng)
    return _sides(side, rng)


def _things(side: int, boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The box of one thing, or of all of them, a little wider."""
    chosen = boxes if rng.random() < 0.3 else boxes[rng.integers(len(boxes))][None]
    out = np.zeros((side, side), bool)
    for x0, y0, x1, y1 in chosen * side:
        left, top, right, bottom = rng.integers(0, _WIDER + 1, 4)
        rows = slice(max(0, int(y0) - top), max(int(y0) + 1, int(np.ceil(y1)) + bottom))
        out[rows, max(0, int(x0) - left) : max(int(x0) + 1, int(np.ceil(x1)) + right)] = True
    return out


def _box(side: int, rng: np.random.Generator) -> np.ndarray:
    height, width = np.ceil(rng.uniform(0.2, 0.85, 2) * side).astype(int)
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    out = np.zeros((side, side), bool)
    out[top : top + height, left : left + width] = True
    return out


def _strokes(side: int, rng: np.random.Generator) -> np.ndarray:
    drawn = Image.new("1", (side, side))
    pen = ImageDraw.Draw(drawn)
    for _ in range(rng.integers(1, 4)):
        points = [tuple(point) for point in rng.uniform(0, side, (rng.integers(2, 5), 2))]
        pen.line(points, fill=1, width=max(1, round(side * rng.uniform(0.08, 0.3))))
    out = np.asarray(drawn).copy()
    return out if out.any() else _box(side, rng)


def _sides(side: int, rng: np.random.Generator) -> np.ndarray:
    """What is beyond some of the edges of a smaller picture, as outpainting asks."""
    out = np.zeros((side, side), bool)
    chosen = rng.random(4) < 0.4
    chosen[rng.integers(4)] = True
    widths = np.maximum(1, (rng.uniform(0.1, 0.42, 4) * side).astype(int))
    top, bottom, left, right = np.where(chosen, widths, 0)
    out[:top], out[side - bottom :] = True, True
    out[:, :left], out[:, side - right :] = True, True
    return out
