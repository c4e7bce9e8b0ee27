"""The styles of a whole picture, as filters: uint8 (128·s, 128·s, 3) → the same shape.

A brush's width, a tile's side are s times as many pixels at scale s.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from limner.worlds._backgrounds import SIDE, axis

__all__ = ["in_style"]


def _scale(image: Image.Image) -> int:
    return image.width // SIDE


def _by_phase(image: Image.Image, filtered: ImageFilter.Filter) -> Image.Image:
    """A filter of ranks, whose window's pixels are s apart: each s-th row and column by itself.

    It costs s² times as much as at scale 1; a window of s² as many pixels would cost s⁴.
    """
    scale, pixels = _scale(image), np.array(image)
    for y in range(scale):
        for x in range(scale):
            phase = Image.fromarray(pixels[y::scale, x::scale])
            pixels[y::scale, x::scale] = phase.filter(filtered)
    return Image.fromarray(pixels)


def _edges(image: Image.Image, radius: float = 0.7) -> np.ndarray:
    """Strength of the outlines, (h, w, 1) in [0, 1]."""
    scale = _scale(image)
    grey = image.filter(ImageFilter.GaussianBlur(radius * scale))
    cells = np.asarray(grey, np.float32).reshape(SIDE, scale, SIDE, scale, 3)
    rows, columns = np.gradient(cells, axis=(0, 2))  # of pixels that are s apart
    strength = np.hypot(rows, columns).reshape(*image.size, 3).max(-1, keepdims=True)
    return np.clip(strength / 34, 0, 1)


def _watercolor(image: Image.Image) -> np.ndarray:
    wash = np.asarray(_by_phase(image, ImageFilter.MedianFilter(7)), np.float32)
    pale = 255 - (255 - wash) * 0.62
    return pale - 46 * _edges(_by_phase(image, ImageFilter.MedianFilter(5)), 1.4)


def _oil_painting(image: Image.Image) -> np.ndarray:
    strokes = np.asarray(_by_phase(image, ImageFilter.ModeFilter(7)), np.float32)
    x, y = np.meshgrid(*[axis(SIDE, _scale(image))] * 2)
    relief = np.sin(0.9 * x + 0.5 * y + 2 * np.sin(0.21 * y)) * 13
    return strokes * 0.94 + relief[..., None]


def _pencil_sketch(image: Image.Image) -> np.ndarray:
    grey = np.asarray(ImageOps.grayscale(image), np.float32)[..., None] / 255
    return np.repeat((0.72 + 0.26 * grey - 0.72 * _edges(image)) * 255, 3, -1)


def _pixel_art(image: Image.Image) -> np.ndarray:
    small = image.resize((32, 32), Image.Resampling.BOX)
    coarse = np.asarray(small, np.float32) // 36 * 36 + 18
    side = 4 * _scale(image)
    return np.kron(coarse, np.ones((side, side, 1), np.float32))


def _mosaic(image: Image.Image) -> np.ndarray:
    scale = _scale(image)
    tiles = np.kron(
        np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32),
        np.ones((8 * scale, 8 * scale, 1), np.float32),
    )
    fine = np.asarray(image, np.float32)
    tiles = 0.5 * tiles + 0.5 * fine  # a tile keeps some of what it was cut from
    y, x = np.mgrid[0 : image.height, 0 : image.width] // scale
    return np.where(((x % 8 == 0) | (y % 8 == 0))[..., None], 226, tiles)


def _neon(image: Image.Image) -> np.ndarray:
    hsv = np.asarray(image.convert("HSV")).copy()
    hsv[..., 1:] = 255
    glow = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"), np.float32)
    line = _edges(image, 1.0)
    return 14 + glow * np.clip(1.5 * line, 0, 1)


def _comic(image: Image.Image) -> np.ndarray:
    few = ImageOps.posterize(_by_phase(image, ImageFilter.MedianFilter(3)), 2)
    flat = np.asarray(few, np.float32) * np.float32(255 / 192)
    x, y = np.meshgrid(*[axis(SIDE, _scale(image))] * 2)
    dots = (np.hypot(x % 6 - 2.5, y % 6 - 2.5) < 1.6)[..., None] & (
        flat.mean(-1, keepdims=True) < 200
    )
    return np.where(dots, flat * 0.8, flat) * (1 - _edges(image))


_FILTERS = {
    "watercolor": _watercolor,
    "oil painting": _oil_painting,
    "pencil sketch": _pencil_sketch,
    "pixel art": _pixel_art,
    "mosaic": _mosaic,
    "neon": _neon,
    "comic": _comic,
}


def in_style(picture: np.ndarray, style: str) -> np.ndarray:
    """The picture drawn in a style: uint8 of the same shape."""
    return np.clip(_FILTERS[style](Image.fromarray(picture)), 0, 255).astype(np.uint8)
