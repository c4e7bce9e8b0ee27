"""Portraits drawn in a style: a filter of the finished picture that knows what each pixel shows.

The style "zombie" is not here: it is a matter of skin (_faces_skin.py). Paper and strokes are
noise, of which each face's grain cuts out another piece.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from limner.worlds._faces_face import PARTS
from limner.worlds._faces_ink import SIDE

__all__ = ["STYLES", "drawn"]

STYLES = ("pencil sketch", "watercolor", "pixel art", "zombie", "night")

_CELL = 4  # pixels of a cell of pixel art
_FINE = np.isin(PARTS, ("brows", "eyes", "mouth", "glasses"))  # parts thinner than a cell
_Filter = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def drawn(picture: np.ndarray, parts: np.ndarray, style: str, grain: int) -> np.ndarray:
    """A portrait uint8 (128, 128, 3) whose pixels show these ``PARTS``, uint8 (128, 128), in a
    style: uint8 (128, 128, 3)."""
    if style == "zombie":
        return picture
    return np.clip(_FILTERS[style](picture, parts, grain) + 0.5, 0, 255).astype(np.uint8)


def _noise(seed: int, along: float, across: float) -> np.ndarray:
    """Noise that closes on itself, (256, 256) float32, of deviation 1, cut off at these many waves
    a side in the direction down to the left and across it."""
    rows, columns = np.fft.fftfreq(256)[:, None] * 256, np.fft.rfftfreq(256)[None] * 256
    u, v = (columns - rows) / np.sqrt(2), (columns + rows) / np.sqrt(2)
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=(256, 256)))
    noise = np.fft.irfft2(white * np.exp(-((u / along) ** 2) - (v / across) ** 2), (256, 256))
    return (noise / noise.std()).astype(np.float32)


@lru_cache(maxsize=1)
def _hatching() -> np.ndarray:
    """Strokes side by side, (256, 256) in [0, 1]: how much graphite each leaves."""
    return np.clip(0.5 + 0.45 * _noise(3, 10, 105), 0, 1)


@lru_cache(maxsize=1)
def _paper() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The paper's grain, and how wet it is, in two independent maps: (256, 256) each."""
    return _noise(4, 75, 75), _noise(5, 7, 7), _noise(6, 7, 7)


def _piece(texture: np.ndarray, grain: int) -> np.ndarray:
    """(128, 128) of a texture (256, 256)."""
    y, x = grain % SIDE, grain // SIDE % SIDE
    return texture[y : y + SIDE, x : x + SIDE]


def _grey(picture: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601: (128, 128) float32 in 0…255."""
    red, green, blue = (
        picture[..., k] * np.float32(w) for k, w in enumerate((0.299, 0.587, 0.114))
    )
    return red + green + blue


def _soft(picture: np.ndarray, radius: float) -> np.ndarray:
    """Blurred, float32: uint8 (128, 128) or (128, 128, 3)."""
    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, np.float32)


def _pencil_sketch(picture: np.ndarray, parts: np.ndarray, grain: int) -> np.ndarray:
    """Lines where it is darker than around, hatching where it is dark, little of the background."""
    grey = _grey(picture)
    around = _soft(grey.astype(np.uint8), 2.0)
    lines = np.clip((0.97 - (grey + 10) / (around + 10)) * 2.2, 0, 1)
    shade = np.clip(1.05 - grey / 210, 0, 0.85) * np.where(parts > 0, 1.0, 0.3).astype(np.float32)
    strokes = _piece(_hatching(), grain)
    graphite = 1 - (1 - 0.95 * lines) * (1 - shade * (0.42 + 0.46 * strokes))
    return np.repeat((250 - 215 * graphite)[..., None], 3, 2)


def _watercolor(picture: np.ndarray, parts: np.ndarray, grain: int) -> np.ndarray:
    """Thin washes that run a little, with pigment at their rims, up to a ragged margin of paper."""
    tooth, wet, wetter = (_piece(each, grain) for each in _paper())
    at = np.arange(SIDE, dtype=np.int32)
    down = np.clip(at[:, None] + np.rint(0.9 * wet).astype(np.int32), 0, SIDE - 1)
    right = np.clip(at[None] + np.rint(0.9 * wetter).astype(np.int32), 0, SIDE - 1)
    run = picture.reshape(-1, 3).take(down * SIDE + right, 0)
    wash, around = _soft(run, 0.9), _soft(run, 3.2)
    wash -= 0.75 * np.maximum(around - wash, 0)
    pigment = (255 - wash) * (0.80 + 0.08 * wet + 0.03 * tooth)[..., None]
    inwards = np.minimum(at, SIDE - 1 - at).astype(np.float32)
    edge = np.minimum(inwards[:, None], inwards) + 1.5 * wetter + 0.5 * tooth
    pigment *= np.clip((edge - 3.0) * 0.6, 0, 1)[..., None]
    return np.array((253, 251, 246), np.float32) - pigment


def _share(mask: np.ndarray) -> np.ndarray:
    """How much of each cell a mask (128, 128) fills: (32, 32) float32 in [0, 1]."""
    cells = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).reduce(_CELL)
    return np.asarray(cells, np.float32) * np.float32(1 / 255)


def _pixel_art(picture: np.ndarray, parts: np.ndarray, grain: int) -> np.ndarray:
    """Cells of few colours; a cell with something fine in it takes after its darkest pixel, and
    around the person runs a dark line."""
    side = SIDE // _CELL
    mean = np.asarray(Image.fromarray(picture).reduce(_CELL), np.float32)
    darkest = picture.reshape(side, _CELL, SIDE, 3).min(1).reshape(side, side, _CELL, 3).min(2)
    colour = mean + (darkest - mean) * np.minimum(1.3 * _share(_FINE[parts]), 0.8)[..., None]
    person = np.pad(_share(parts > 0) > 0.5, 1, mode="edge")
    near = person[:-2, 1:-1] & person[2:, 1:-1] & person[1:-1, :-2] & person[1:-1, 2:]
    colour[person[1:-1, 1:-1] & ~near] *= 0.55
    bright = np.maximum(colour.max(2, keepdims=True), 1)
    few = colour * (np.rint(bright / 32) * 32 / bright)  # eight levels, the hue as it is
    return few.repeat(_CELL, 0).repeat(_CELL, 1)


@lru_cache(maxsize=1)
def _moonlight() -> np.ndarray:
    """What a dim light from the upper left leaves of red, green and blue: (128, 128, 3)."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    lit = 0.36 + 0.72 * np.exp(-(((x - 50) / 46) ** 2) - ((y - 50) / 52) ** 2)
    return lit[..., None] * np.array((0.42, 0.55, 0.92), np.float32)


def _night(picture: np.ndarray, parts: np.ndarray, grain: int) -> np.ndarray:
    """Dark and bluish: by little light, colours pale (Purkinje)."""
    pale = _grey(picture)[..., None]
    return (pale + (picture - pale) * np.float32(0.72)) * _moonlight()


_FILTERS: dict[str, _Filter] = {
    "pencil sketch": _pencil_sketch,
    "watercolor": _watercolor,
    "pixel art": _pixel_art,
    "night": _night,
}
