"""Clothes below the neck; they stay upright when the head leans."""

from __future__ import annotations

import numpy as np

from limner.worlds._faces_face import PARTS, Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import Canvas, cover, curve, mix, outline, stroke

__all__ = ["COLOURS", "clothes"]

CLOTHES = PARTS.index("clothes")
COLOURS = {
    "blue": (62, 104, 178),
    "red": (196, 62, 60),
    "green": (64, 138, 96),
    "yellow": (232, 186, 70),
    "purple": (122, 84, 168),
    "black": (52, 52, 60),
    "white": (236, 236, 238),
}
_MIDDLE = np.array((64.0, 0))
_WHITE = np.array((255.0, 255, 255))
_SHADE = np.array((0.74, 0.70, 0.76))
_BODIES = {  # half the width of the shoulders and of the collar
    "masculine": (53.0, 17.2),
    "androgynous": (49.0, 15.0),
    "feminine": (45.0, 13.4),
}
_CHILD = (40.0, 11.2)
_DIPS = {"t-shirt": 7.5, "shirt": 14.0, "turtleneck": 3.0, "jacket": 20.0}


def clothes(canvas: Canvas, head: Head, face: Face) -> None:
    """The garment with its collar."""
    colour = np.array(COLOURS[face.clothes_colour], float)
    broad, neck = mix(np.array(_BODIES[face.presentation]), np.array(_CHILD), head.child).tolist()
    top = 104.0 if face.clothes == "turtleneck" else 108.5
    low = top + _DIPS[face.clothes]
    collar = np.array([(-neck, top), (0, low), (neck, top)])
    if face.clothes in ("t-shirt", "turtleneck"):
        waist = mix(top, low, 0.72)
        collar = curve(np.insert(collar, [1, 2], [(-0.6 * neck, waist), (0.6 * neck, waist)], 0))
    side = curve(np.array([(neck, top), (neck + 7, top + 3.6), (broad - 8, 116), (broad, 122),
                           (broad + 3, 140)]))  # fmt: skip
    if face.clothes == "jacket":  # a white shirt under it
        shirt = [(-neck, top - 1), (0, top + 9), (neck, top - 1), (neck, 132), (-neck, 132)]
        canvas.paint(cover(np.array(shirt) + _MIDDLE), _WHITE * 0.94, CLOTHES)
    ink = cover(np.concatenate([side[::-1] * (-1, 1), collar, side]) + _MIDDLE)
    canvas.paint(ink, colour, CLOTHES)
    whole = ink.whole()
    away = np.array([(70.0, 100), (140, 100), (140, 140), (92, 140)])
    canvas.tint(cover(away, soft=5).within(whole).thin(0.55), _SHADE)
    fold = curve(np.array([(broad - 10, 117), (broad - 13, 123), (broad - 13, 132)])) + _MIDDLE
    canvas.tint(cover(stroke(fold, 3), soft=0.8).within(whole).thin(0.6), _SHADE)
    if face.clothes == "t-shirt":
        band = stroke(collar + _MIDDLE + (0, 0.8), 2.8, 0.8, 0.8)
        canvas.paint(cover(band), colour * 0.82, CLOTHES)
    elif face.clothes == "turtleneck":
        _roll(canvas, colour, neck)
    else:
        _flaps(canvas, face, colour, neck, top, low)


def _roll(canvas: Canvas, colour: np.ndarray, neck: float) -> None:
    """A turtleneck's collar and its ribs."""
    roll = np.array([(-neck + 1, 101), (0, 104), (neck - 1, 101), (neck + 1, 109), (neck, 113),
                     (0, 116.5), (-neck, 113), (-neck - 1, 109)])  # fmt: skip
    canvas.paint(cover(outline(roll) + _MIDDLE), mix(colour, _WHITE, 0.10), CLOTHES)
    ribs = []
    for x in np.linspace(-0.85, 0.85, 9):
        rib = np.array([(x * neck, 103.5 - 1.5 * abs(x)), (1.02 * x * neck, 114 - 2 * abs(x))])
        ribs.append(stroke(curve(rib) + _MIDDLE, 1.1))
    canvas.paint(cover(*ribs).thin(0.35), colour * 0.6)


def _flaps(
    canvas: Canvas, face: Face, colour: np.ndarray, neck: float, top: float, low: float
) -> None:
    """The collar of a shirt or the lapels of a jacket."""
    if face.clothes == "shirt":
        flap = [(neck + 0.5, top - 2.5), (0.2, low + 0.5), (8, low + 6), (neck + 4.5, top + 4)]
    else:
        flap = [(neck + 0.5, top - 2), (0, low + 1), (9, 125), (15, 116), (12.5, 113.5),
                (neck + 5, top + 3)]  # fmt: skip
    both = [np.array(flap) * (side, 1) + _MIDDLE for side in (-1, 1)]
    canvas.paint(cover(*both), mix(colour, _WHITE, 0.13), CLOTHES)
    lines = [shape[1:4] for shape in both]
    if face.clothes == "shirt":
        lines.append(np.array([(0, low), (0, 132.0)]) + _MIDDLE)
    canvas.paint(cover(*(stroke(line, 1.0, 1, 1) for line in lines)).thin(0.5), colour * 0.55)
