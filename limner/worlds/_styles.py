"""The styles of a whole picture, as filters: uint8 (128, 128, 3) → uint8 (128, 128, 3)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

__all__ = ["in_style"]


def _edges(image: Image.Image, radius: float = 0.7) -> np.ndarray:
    """Strength of the outlines, (h, w, 1) in [0, 1]."""
    grey = image.filter(ImageFilter.GaussianBlur(radius))
    rows, columns = np.gradient(np.asarray(grey, np.float32), axis=(0, 1))
    return np.clip(np.hypot(rows, columns).max(-1, keepdims=True) / 34, 0, 1)


def _watercolor(image: Image.Image) -> np.ndarray:
    wash = np.asarray(image.filter(ImageFilter.MedianFilter(7)), np.float32)
    pale = 255 - (255 - wash) * 0.62
    return pale - 46 * _edges(image.filter(ImageFilter.MedianFilter(5)), 1.4)


def _oil_painting(image: Image.Image) -> np.ndarray:
    strokes = np.asarray(image.filter(ImageFilter.ModeFilter(7)), np.float32)
    y, x = np.mgrid[0:128, 0:128]
    relief = np.sin(0.9 * x + 0.5 * y + 2 * np.sin(0.21 * y)) * 13
    return strokes * 0.94 + relief[..., None]


def _pencil_sketch(image: Image.Image) -> np.ndarray:
    grey = np.asarray(ImageOps.grayscale(image), np.float32)[..., None] / 255
    return np.repeat((0.72 + 0.26 * grey - 0.72 * _edges(image)) * 255, 3, -1)


def _pixel_art(image: Image.Image) -> np.ndarray:
    small = image.resize((32, 32), Image.Resampling.BOX)
    coarse = np.asarray(small, np.float32) // 36 * 36 + 18
    return np.kron(coarse, np.ones((4, 4, 1), np.float32))


def _mosaic(image: Image.Image) -> np.ndarray:
    tiles = np.kron(
        np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32),
        np.ones((8, 8, 1), np.float32),
    )
    fine = np.asarray(image, np.float32)
    tiles = 0.5 * tiles + 0.5 * fine  # a tile keeps some of what it was cut from
    y, x = np.mgrid[0:128, 0:128]
    return np.where(((x % 8 == 0) | (y % 8 == 0))[..., None], 226, tiles)


def _neon(image: Image.Image) -> np.ndarray:
    hsv = np.asarray(image.convert("HSV")).copy()
    hsv[..., 1:] = 255
    glow = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"), np.float32)
    line = _edges(image, 1.0)
    return 14 + glow * np.clip(1.5 * line, 0, 1)


def _comic(image: Image.Image) -> np.ndarray:
    few = ImageOps.posterize(image.filter(ImageFilter.MedianFilter(3)), 2)
    flat = np.asarray(few, np.float32) * np.float32(255 / 192)
    y, x = np.mgrid[0:128, 0:128]
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
    """The picture drawn in a style: uint8 (128, 128, 3)."""
    return np.clip(_FILTERS[style](Image.fromarray(picture)), 0, 255).astype(np.uint8)
