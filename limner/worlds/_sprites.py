"""Objects as square RGBA sprites: glyphs of the emoji font, shaded shapes, their materials.

Their side is 96 pixels, or 96·s for pictures of a larger scale.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from limner.worlds._backgrounds import axis
from limner.worlds._vocabulary import COLOURS

__all__ = ["SIDE", "find_font", "glyph", "in_material", "shape"]

SIDE = 96
_GLYPH_SIZE = 109  # the only size of Noto Color Emoji's bitmaps
_FONTS = (
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf",
    "/usr/local/share/fonts/NotoColorEmoji.ttf",
    "~/.fonts/NotoColorEmoji.ttf",
    "~/.local/share/fonts/NotoColorEmoji.ttf",
)


def find_font() -> Path | None:
    """The system's Noto Color Emoji, or None where it is not installed."""
    paths = (Path(name).expanduser() for name in _FONTS)
    return next((path for path in paths if path.is_file()), None)


@lru_cache(maxsize=512)
def glyph(text: str, font: Path, scale: int = 1) -> np.ndarray:
    """One emoji, cropped to its ink and centred: uint8 (96·s, 96·s, 4).

    Where it is larger than the font's bitmap, its outline is made as sharp as it was there.
    """
    canvas = Image.new("RGBA", (2 * _GLYPH_SIZE, 2 * _GLYPH_SIZE))
    face = ImageFont.truetype(str(font), _GLYPH_SIZE)
    ImageDraw.Draw(canvas).text((20, 20), text, font=face, embedded_color=True)
    ink = canvas.crop(canvas.getchannel("A").getbbox())
    side = max(ink.size)
    square = Image.new("RGBA", (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    drawn = np.asarray(square.resize((SIDE * scale, SIDE * scale), Image.Resampling.LANCZOS))
    factor = SIDE * scale / max(side, SIDE)
    return _steeper(drawn, factor) if factor > 1 else drawn


def _steeper(sprite: np.ndarray, factor: float) -> np.ndarray:
    """The same with the step at the outline, α from 0 to 1, so many times narrower."""
    alpha = (sprite[..., 3:].astype(np.float32) - 127.5) * factor + 127.5
    return np.concatenate([sprite[..., :3], alpha.clip(0, 255).astype(np.uint8)], -1)


def _plane(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in [-1, 1]."""
    centres = (np.arange(side) + 0.5) / (side / 2) - 1
    return np.meshgrid(centres, centres)


def _polygon(x: np.ndarray, y: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """Where (x, y) lies within a convex polygon whose corners go clockwise on the screen."""
    inside = np.ones_like(x, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0
    return inside


def _cube(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    w, t, h = 0.86, 0.46, 0.95  # half width, half height of the top, height of the sides
    top = _polygon(x, y, [(0, -h), (w, t - h), (0, 2 * t - h), (-w, t - h)])
    left = _polygon(x, y, [(-w, t - h), (0, 2 * t - h), (0, h), (-w, h - t)])
    right = _polygon(x, y, [(0, 2 * t - h), (w, t - h), (w, h - t), (0, h)])
    return np.where(top, 1.12, np.where(left, 0.85, np.where(right, 0.58, 0)))


def _sphere(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    z = np.sqrt(np.clip(0.9**2 - x**2 - y**2, 0, None)) / 0.9
    light = (-0.5 * x - 0.6 * y) / 0.9 + 0.62 * z
    return np.where(z > 0, 0.45 + 0.6 * np.clip(light, 0, None), 0)


def _cylinder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    lid = (x / 0.68) ** 2 + ((y + 0.66) / 0.24) ** 2 < 1
    foot = (x / 0.68) ** 2 + ((y - 0.66) / 0.24) ** 2 < 1
    side = (np.abs(x) < 0.68) & (np.abs(y) < 0.66)
    around = np.sqrt(np.clip(1 - (x / 0.68) ** 2, 0, None))
    return np.where(lid, 1.12, np.where(side | foot, 0.42 + 0.5 * around - 0.3 * x, 0))


def _cone(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = np.clip((y + 0.93) / 1.6 * 0.82, 1e-6, None)
    side = (np.abs(x) < width) & (y < 0.67)
    foot = (x / 0.82) ** 2 + ((y - 0.67) / 0.24) ** 2 < 1
    across = np.clip(x / width, -1, 1)
    return np.where(side | foot, 0.78 - 0.34 * across - 0.14 * across**2, 0)


def _torus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    tilt = y / 0.78  # seen from a little above
    radius = np.hypot(x, tilt)
    tube = 1 - ((radius - 0.62) / 0.3) ** 2
    z = np.sqrt(np.clip(tube, 0, None))
    out = (radius - 0.62) / 0.3
    angle = np.arctan2(tilt, x)
    light = out * (-0.45 * np.cos(angle) - 0.65 * np.sin(angle)) + 0.62 * z
    return np.where(tube > 0, 0.5 + 0.55 * np.clip(light, -0.4, None), 0)


@lru_cache(maxsize=256)
def shape(name: str, colour: str, scale: int = 1) -> np.ndarray:
    """A shaded solid: uint8 (96·s, 96·s, 4).

    Lambert's law, and a highlight where the light is full.
    """
    draw = {"cube": _cube, "sphere": _sphere, "cylinder": _cylinder, "cone": _cone, "torus": _torus}
    side, finer = SIDE * scale, 4 if scale == 1 else 2  # so that edges are smooth
    shade = draw[name](*_plane(side * finer))
    alpha = (shade > 0).astype(np.float32)
    base = np.asarray(COLOURS[colour], np.float32)
    lit = base * np.minimum(shade, 1)[..., None]
    lit += (255 - lit) * np.clip(shade - 1, 0, 1)[..., None] * 0.9
    rgba = np.concatenate([lit * alpha[..., None], 255 * alpha[..., None]], -1)
    rgba = rgba.reshape(side, finer, side, finer, 4).mean((1, 3))
    rgba[..., :3] *= 255 / np.clip(rgba[..., 3:], 1, None)  # undo the premultiplication
    return np.clip(rgba + 0.5, 0, 255).astype(np.uint8)


_RAMPS = {  # dark, middle and lit tone of the materials that hide the object's own colours
    "wooden": ((72, 40, 18), (164, 104, 54), (228, 182, 124)),
    "golden": ((112, 66, 0), (218, 160, 20), (255, 244, 160)),
    "ice": ((70, 140, 200), (150, 210, 240), (240, 252, 255)),
    "stone": ((60, 60, 62), (128, 128, 126), (205, 204, 198)),
    "clay": ((110, 48, 30), (186, 96, 62), (238, 164, 124)),
}


def _texture(material: str, scale: int) -> np.ndarray:
    """What the material adds to the brightness, (96·s, 96·s) within ±0.25."""
    x, y = np.meshgrid(*[axis(SIDE, scale) / SIDE] * 2)
    if material == "wooden":
        return 0.22 * np.sin(2 * np.pi * (5 * x + 0.5 * np.sin(4 * y) + 0.15 * np.sin(21 * y)))
    if material == "stone":
        coarse = np.random.default_rng(7).normal(0, 0.16, (24, 24))
        return np.kron(coarse, np.ones((4 * scale, 4 * scale))).clip(-0.25, 0.25)
    if material == "ice":
        return 0.2 * (np.abs(np.sin(9 * (x + y)) * np.sin(7 * (x - 1.3 * y))) - 0.4)
    if material == "crochet":
        stitch = np.abs(((x * 12) % 1) - 0.5) + (y * 12) % 1
        return 0.3 * (np.abs((stitch % 1) - 0.5) * 2 - 0.5)
    return np.zeros_like(x)


@lru_cache(maxsize=3)
def _leads(scale: int) -> np.ndarray:
    """The lead lines of stained glass: edges of a Voronoi diagram, and each pixel's pane."""
    points = np.random.default_rng(3).uniform(0, SIDE, (30, 2))
    x, y = np.meshgrid(*[axis(SIDE, scale)] * 2)
    distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    nearest = np.sort(distance, -1)
    return np.stack([nearest[..., 1] - nearest[..., 0] < 3.0, distance.argmin(-1)], -1)


def in_material(sprite: np.ndarray, material: str) -> np.ndarray:
    """The same object in another material: uint8 of the same shape, its outline unchanged."""
    scale = len(sprite) // SIDE
    rgb: np.ndarray = sprite[..., :3].astype(np.float32)
    alpha = sprite[..., 3:]
    if material == "stained glass":
        leads = _leads(scale)
        panes = np.zeros_like(rgb)
        for pane in np.unique(leads[..., 1]):
            here = (leads[..., 1] == pane) & (alpha[..., 0] > 128)
            if here.any():
                panes[here] = rgb[here].mean(0)
        grey = panes.mean(-1, keepdims=True)
        vivid = np.clip(grey + 1.7 * (panes - grey) + 10, 0, 255)
        rgb = np.where(leads[..., :1] > 0, 22, vivid)
    elif material == "crochet":
        rgb = rgb * (0.92 + _texture(material, scale)[..., None]) + 12
    else:
        solid = alpha[..., 0] > 128
        light = rgb @ np.asarray([0.299, 0.587, 0.114], np.float32)
        low, high = np.percentile(light[solid], (3, 97)) if solid.any() else (0.0, 255.0)
        light = (light - low) / max(high - low, 24) * 0.9 + 0.05 + _texture(material, scale)
        ramp = np.asarray(_RAMPS[material], np.float32)
        rgb = np.stack([np.interp(light, (0, 0.5, 1), ramp[:, c]) for c in range(3)], -1)
    return np.concatenate([np.clip(rgb, 0, 255).astype(np.uint8), alpha], -1)
