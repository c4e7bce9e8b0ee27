"""What is skin: head, neck and ears in their light, the nose, the wrinkles of age."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from limner.worlds._faces_face import PARTS, Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import (
    Canvas,
    Ink,
    blot,
    blur,
    cover,
    curve,
    mix,
    outline,
    ramp,
    stroke,
    through,
)

__all__ = ["SKIN", "TONES", "Skin", "ears", "front", "lobe", "neck", "nose", "wrinkles"]

SKIN = PARTS.index("skin")
TONES = {  # sRGB in full, frontal light
    "pale": (255, 228, 212),
    "fair": (249, 211, 184),
    "olive": (231, 188, 146),
    "tan": (209, 156, 112),
    "brown": (160, 107, 74),
    "dark": (120, 79, 58),
}
_ROTTEN = np.array((146.0, 182, 112))  # a zombie's skin, the palest one
_LIGHT = (-0.46, -0.50, 0.73)  # from the upper left, a little in front
_SUNKEN = np.array((0.10, 0.09, 0.16))  # what a zombie's sockets leave of the light
_SIDES = (-1, 1)


class Skin:
    """A skin tone under this head's light; a zombie's is green, as dark as its own was."""

    def __init__(self, face: Face, head: Head, *, zombie: bool = False) -> None:
        self.zombie = zombie
        self.base = np.array(TONES[face.skin], float)
        self.dark = self.base * (0.68, 0.55, 0.51)
        self.line = self.base * (0.52, 0.36, 0.32)
        self.pale = mix(self.base, np.array((255.0, 244, 226)), 0.42)
        self.rose = mix(self.base, np.array((214.0, 72, 72)), 0.42)
        if zombie:
            self.base = _ROTTEN * (0.45 + 0.55 * self.base.mean() / np.mean(TONES["pale"]))
            self.dark, self.line = self.base * (0.50, 0.54, 0.56), self.base * (0.28, 0.30, 0.32)
            self.pale = mix(self.base, np.array((226.0, 240, 190)), 0.40)
            self.rose = mix(self.base, np.array((96.0, 84, 110)), 0.42)
        self.shade = self.dark / self.base
        half = mix(self.dark, self.base, 0.72)
        self.table = ramp((self.dark, half, self.base, self.pale), (0.1, 0.45, 0.74, 1.0))
        self.light = _lit(head)

    def lit(self, ink: Ink) -> np.ndarray:
        """The colours of skin under an ink, (h, w, 3)."""
        return through(self.table, self.light[ink.box])


def _lit(head: Head) -> np.ndarray:
    """Lambert's law on the head as an ellipsoid: (128, 128) float32 in [0, 1]."""
    x, y = head.upright
    nx = (x - np.float32(8 * np.sin(head.yaw))) * np.float32(1 / 40)
    ny = (y + 2) * np.float32(1 / 52)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    lambert = nx * np.float32(_LIGHT[0]) + ny * np.float32(_LIGHT[1]) + nz * np.float32(_LIGHT[2])
    return np.clip(0.16 + 0.84 * lambert, 0, 1)


def neck(canvas: Canvas, head: Head, face: Face, skin: Skin, chin: Ink) -> None:
    """From under the jaw to the collar; ``chin`` is the head, which shades it."""
    wide = {"masculine": 15.0, "androgynous": 13.0, "feminine": 11.6}[face.presentation]
    wide = mix(wide, 9.4, head.child)
    foot = 1.18 * wide * head.size
    top = head.seen(np.array([(-wide, 18, -10), (wide, 18, -10)]))
    sides = []
    for side, start in zip(_SIDES, top, strict=True):
        low = np.array([(64 + 1.35 * side * foot, 112), (64 + 2 * side * foot, 128)])
        above = mix(start, np.array((64 + side * foot, 128.0)), 0.56)
        sides.append(curve(np.stack([start, above, *low])))
    left, right = sides
    ink = cover(np.concatenate([left, right[::-1]]))
    whole = ink.whole()
    canvas.paint(ink, mix(skin.base, skin.dark, 0.18), SKIN)
    away = np.concatenate([right + (2, 0), (right - (7, 0))[::-1]])
    canvas.tint(cover(away, soft=3).within(whole), skin.shade)
    below = np.zeros_like(whole)
    below[6:] = chin.whole()[:-6]
    canvas.tint(Ink(blur(below, 2.5)[ink.box] * ink.alpha, ink.at).thin(0.85), skin.shade)


def front(canvas: Canvas, head: Head, face: Face, skin: Skin, ink: Ink) -> None:
    """The bare head, of this outline: sockets, cheeks, chin."""
    canvas.paint(ink, skin.lit(ink), SKIN)
    whole = ink.whole()
    grin = max(face.smile, 0)
    for side in _SIDES:
        socket = head.spot(13 * side, head.eyes - 1.5)
        canvas.tint(blot(socket, 11, 7.5).within(whole).thin(0.28), skin.shade)
        if skin.zombie:
            canvas.tint(blot(socket + (0, 1), 15, 13).within(whole), _SUNKEN)
        cheek = head.spot(16.5 * side, head.nose - 1 - 1.5 * grin)
        warm = 0.22 + 0.2 * head.child + 0.1 * grin
        canvas.paint(blot(cheek, 9, 7).within(whole).thin(warm), skin.rose)
    chin = head.spot(-1, head.chin - 6)
    canvas.paint(blot(chin, 6, 4).within(whole).thin(0.3), skin.pale)
    lip = head.spot(0, head.mouth + 6.5)
    canvas.tint(blot(lip, 7, 2.6).within(whole).thin(0.4), skin.shade)


def _ear(head: Head, face: Face, side: int, points: np.ndarray) -> np.ndarray:
    """Points (n, 3) of the right ear from where it meets the head, x outwards → pixels (n, 2)."""
    size = (1 + 0.18 * face.ear_size) * (1 + 0.12 * head.old - 0.04 * head.child)
    root = (28.2 * head.width * side, head.eyes + 5.0, -4.0)
    return head.seen(points * size * (side, 1, 1) + root)


_RIM = np.array([(0, -7, 0), (3.2, -9.5, -4), (6.4, -7.5, -8), (6.8, -2, -9), (5, 3.5, -7),
                 (3.2, 8.2, -4), (0.8, 8.8, -1), (-0.5, 5, 1), (-0.6, -2, 1)])  # fmt: skip
_FOLD = np.array([(0.8, -5, 0), (3.4, -6.8, -4), (4.8, -4, -7), (4.2, 0.5, -7), (2.2, 3.5, -4)])


def ears(canvas: Canvas, head: Head, face: Face, skin: Skin, side: int) -> None:
    """One ear, a plate that stands off the head; ``side`` is -1 for the picture's left."""
    ink = cover(outline(_ear(head, face, side, _RIM)))
    canvas.paint(ink, mix(skin.lit(ink), skin.rose.astype(np.float32), np.float32(0.2)), SKIN)
    line = stroke(curve(_ear(head, face, side, _FOLD)), 1.3)
    canvas.paint(cover(line).thin(0.55), skin.dark)


def lobe(head: Head, face: Face, side: int) -> np.ndarray:
    """Where an ear-ring hangs, (2,) pixels."""
    return _ear(head, face, side, np.array([(2.4, 8.0, -2.0)]))[0]


def nose(canvas: Canvas, head: Head, face: Face, skin: Skin, whole: np.ndarray) -> None:
    """The shaded flank, the underside, wings and nostrils, and the light on bridge and tip."""
    size = (1 + 0.16 * face.nose_size) * (1 - 0.2 * head.child + 0.1 * head.old)
    size *= {"masculine": 1.06, "androgynous": 1.0, "feminine": 0.94}[face.presentation]
    low, high = head.nose, head.eyes

    def at(points: list[tuple[float, float, float]]) -> np.ndarray:
        solid = np.array(points)
        return head.on(solid[:, :2] * (size, 1), solid[:, 2] * size)

    side = 1 if face.yaw > -0.25 else -1  # the one away from the light, or away from the viewer
    flank = at([(3.4 * side, high - 6, 0), (1.4 * side, high + 2, 4), (1.6 * side, low - 4, 8),
                (2.4 * side, low + 1, 6), (5.2 * side, low + 1.2, 1), (4.6 * side, low - 3, 1),
                (4.0 * side, high + 3, 0), (5.5 * side, high - 2, -1)])  # fmt: skip
    canvas.tint(cover(outline(flank), soft=0.9).within(whole).thin(0.42), skin.shade)
    under = at([(-4.6, low + 0.6, 1), (-2, low + 1.2, 6), (0, low + 2.2, 7), (2, low + 1.2, 6),
                (4.6, low + 0.6, 1), (2.6, low + 3.2, 1), (0, low + 4, 1),
                (-2.6, low + 3.2, 1)])  # fmt: skip
    canvas.tint(cover(outline(under), soft=0.6).within(whole).thin(0.5), skin.shade)
    holes, folds = [], []
    for wing in _SIDES:
        hole = [
            (1.2 * wing, low + 1.6, 6.0),
            (2.6 * wing, low + 0.7, 5),
            (3.8 * wing, low + 1.5, 3),
        ]
        fold = [(4.3 * wing, low - 3, 2.0), (5.5 * wing, low - 1, 1.5), (5.2 * wing, low + 1.4, 1)]
        holes.append(stroke(curve(at(hole)), 1.7))
        folds.append(stroke(curve(at(fold)), 1.1))
    canvas.paint(cover(*holes).within(whole).thin(0.75), skin.line)
    canvas.paint(cover(*folds).within(whole).thin(0.5), skin.dark)
    bridge, tip = at([(-0.6, high + 1, 4), (-0.7, low - 6, 7)]), at([(-0.8, low - 2.6, 9)])[0]
    canvas.paint(blot(tip, 2.4 * size, 2.0 * size).within(whole).thin(0.75), skin.pale)
    canvas.paint(cover(stroke(curve(bridge), 2.2), soft=0.7).within(whole).thin(0.45), skin.pale)


def wrinkles(canvas: Canvas, head: Head, face: Face, skin: Skin, whole: np.ndarray) -> None:
    """Folds from nose to mouth, under the eyes, beside them and on the forehead."""
    grin, eye, lips = max(face.smile, 0.0), head.eyes, head.mouth
    lines: dict[float, list[tuple[float, list[tuple[float, float]]]]] = defaultdict(list)
    for side in _SIDES:
        strength = min(0.8, 0.75 * head.old + 0.32 * grin * (1 - 0.6 * head.child))
        fold = [(6.6, head.nose - 1.5), (10.4 + grin, head.nose + 3.5), (12 + 1.5 * grin, lips + 1)]
        lines[strength].append((1.5, [(side * x, y) for x, y in fold]))
        bag = [(7.5, eye + 6.2), (12.5, eye + 8), (18, eye + 6)]
        lines[0.6 * head.old].append((1.3, [(side * x, y) for x, y in bag]))
        for to in (-3.0, 0.2, 3.4):
            foot = [(side * 21.6, eye + 0.3 * to), (side * 25.2, eye + to)]
            lines[0.6 * head.old].append((1.0, foot))
        jowl = [(10.5, lips + 4), (11.6, lips + 7), (10.6, lips + 9.5)]
        lines[0.5 * head.old].append((1.3, [(side * x, y) for x, y in jowl]))
    for row in range(3):
        y, wide = head.brow - 6 - 4.2 * row, 13.0 - row
        wave = [(-wide, y + 0.8), (-6, y - 0.4), (0, y + 0.4), (6, y - 0.4), (wide, y + 0.8)]
        lines[0.5 * head.old].append((1.1, wave))
    for strength, drawn in lines.items():
        if strength > 0.02:
            strokes = [stroke(curve(head.on(np.array(p))), width) for width, p in drawn]
            canvas.paint(cover(*strokes, soft=0.4).within(whole).thin(strength), skin.dark)
