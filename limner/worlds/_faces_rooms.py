"""What stands behind a portrait: a plain or a shaded wall, or a room out of focus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from limner.worlds._faces_face import Face
from limner.worlds._faces_ink import SIDE

__all__ = ["COLOURS", "ground"]

COLOURS = {
    "blue": (152, 188, 222),
    "green": (166, 202, 170),
    "pink": (240, 192, 200),
    "yellow": (246, 222, 152),
    "purple": (196, 180, 224),
    "grey": (206, 208, 212),
}
_VARIANTS = 16


def ground(face: Face) -> np.ndarray:
    """The background, uint8 (128, 128, 3), read-only."""
    variant = face.grain % _VARIANTS if face.background == "room" else 0
    return _ground(face.background, face.background_colour, variant)


@lru_cache(maxsize=256)
def _ground(kind: str, name: str, variant: int) -> np.ndarray:
    colour = np.array(COLOURS[name], float)
    rows = (np.arange(SIDE) / SIDE)[:, None]
    columns = (np.arange(SIDE) / SIDE)[None]
    if kind == "plain":
        drawn = np.broadcast_to(colour, (SIDE, SIDE, 3))
    elif kind == "gradient":  # a lamp behind the head, its wall darker to the edges
        away = np.hypot(columns - 0.5, (rows - 0.42) * 0.9)[..., None] * 1.5
        drawn = colour + (255 - colour) * np.clip(0.62 - 1.1 * away, 0, 1)
        drawn = drawn * (1 - 0.5 * np.clip(away - 0.35, 0, 1))
    else:
        drawn = np.asarray(_room(colour, variant))
    drawn = np.clip(drawn, 0, 255).astype(np.uint8)
    drawn.setflags(write=False)
    return drawn


def _room(colour: np.ndarray, variant: int) -> Image.Image:
    """A wall with two of: a window, a shelf of books, framed pictures, a lamp, a plant."""
    rng = np.random.default_rng([29, variant])
    image = Image.new("RGB", (2 * SIDE, 2 * SIDE), _rgb(colour * 0.96))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 214, 256, 256), fill=_rgb(colour * 0.6))
    draw.rectangle((0, 208, 256, 214), fill=(246, 244, 240))
    things = [_window, _shelf, _frames, _lamp, _plant]
    left, right = rng.choice(len(things), 2, replace=False)
    things[left](draw, 0, rng)
    things[right](draw, 168, rng)
    image = image.filter(ImageFilter.GaussianBlur(3.2))
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in np.clip(colour, 0, 255))
    return red, green, blue


def _window(draw: ImageDraw.ImageDraw, x: int, rng: np.random.Generator) -> None:
    draw.rectangle((x + 6, 20, x + 82, 150), fill=(250, 250, 248))
    for row in (0, 1):
        for column in (0, 1):
            left, top = x + 13 + 34 * column, 28 + 60 * row
            draw.rectangle((left, top, left + 28, top + 52), fill=(196, 226, 246))
            if row:
                draw.ellipse((left - 2, top + 26, left + 30, top + 70), fill=(134, 184, 122))
    draw.rectangle((x, 150, x + 88, 160), fill=(240, 238, 232))


def _shelf(draw: ImageDraw.ImageDraw, x: int, rng: np.random.Generator) -> None:
    draw.rectangle((x, 10, x + 86, 206), fill=(122, 86, 58))
    for y in (16, 66, 116, 166):
        draw.rectangle((x + 5, y, x + 81, y + 40), fill=(84, 56, 38))
        at = x + 8
        while at < x + 72:
            wide, high = int(rng.integers(6, 12)), int(rng.integers(24, 37))
            tone = [(178, 66, 58), (62, 104, 140), (222, 178, 92), (86, 134, 96), (230, 222, 204)]
            draw.rectangle((at, y + 40 - high, at + wide, y + 40), fill=tone[int(rng.integers(5))])
            at += wide + 1


def _frames(draw: ImageDraw.ImageDraw, x: int, rng: np.random.Generator) -> None:
    for top, high in ((24, 64), (106, 56)):
        inset = int(rng.integers(4, 14))
        box = (x + inset, top, x + 84 - inset, top + high)
        draw.rectangle(box, fill=(104, 76, 54))
        draw.rectangle((box[0] + 5, box[1] + 5, box[2] - 5, box[3] - 5), fill=(244, 240, 230))
        sky, hill = (
            ((236, 178, 128), (150, 92, 96))
            if rng.random() < 0.5
            else ((150, 196, 220), (92, 142, 112))
        )
        draw.rectangle((box[0] + 11, box[1] + 11, box[2] - 11, box[3] - 11), fill=sky)
        draw.rectangle(
            (box[0] + 11, (box[1] + 3 * box[3]) // 4, box[2] - 11, box[3] - 11), fill=hill
        )


def _lamp(draw: ImageDraw.ImageDraw, x: int, rng: np.random.Generator) -> None:
    middle = x + int(rng.integers(32, 56))
    draw.ellipse((middle - 54, 16, middle + 54, 130), fill=(255, 244, 214))
    draw.line((middle, 100, middle, 214), fill=(96, 80, 66), width=6)
    draw.polygon(
        ((middle - 18, 44), (middle + 18, 44), (middle + 34, 100), (middle - 34, 100)),
        fill=(255, 226, 164),
    )


def _plant(draw: ImageDraw.ImageDraw, x: int, rng: np.random.Generator) -> None:
    middle = x + 42
    draw.polygon(
        ((middle - 22, 176), (middle + 22, 176), (middle + 16, 214), (middle - 16, 214)),
        fill=(196, 112, 76),
    )
    for angle in np.linspace(-1.25, 1.25, 9):
        tip = (middle + 78 * np.sin(angle), 172 - rng.uniform(70, 110) * np.cos(angle))
        side = np.array((np.cos(angle), np.sin(angle))) * 11
        half = np.array(((middle + tip[0]) / 2, (176 + tip[1]) / 2))
        leaf = ((middle, 176), tuple(half + side), tip, tuple(half - side))
        draw.polygon(leaf, fill=_rgb(np.array((74, 142, 84)) * rng.uniform(0.75, 1.2)))
