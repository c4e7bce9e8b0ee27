"""What a face wears: glasses, ear-rings, hats."""

from __future__ import annotations

import numpy as np

from limner.worlds._faces_face import PARTS, Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import Canvas, Ink, circle, cover, curve, mix, outline, stroke
from limner.worlds._faces_skin import lobe

__all__ = ["HATS", "arms", "below_hat", "earrings", "glasses", "hat"]

GLASSES, HAT, RINGS = (PARTS.index(part) for part in ("glasses", "hat", "earrings"))
HATS = {
    "red": (200, 54, 56),
    "blue": (54, 96, 182),
    "green": (58, 128, 82),
    "yellow": (238, 192, 66),
    "black": (48, 48, 56),
}
_GOLD = np.array((226.0, 178, 72))
_WHITE = np.array((255.0, 255, 255))
_SIDES = (-1, 1)


def earrings(canvas: Canvas, head: Head, face: Face, side: int) -> None:
    """The ring of one ear; ``side`` is -1 for the picture's left."""
    if face.earrings == "none":
        return
    at, ring = lobe(head, face, side), circle(20)
    if face.earrings == "studs":
        canvas.paint(cover(at + ring * 2.1), _GOLD, RINGS)
        canvas.paint(cover(at - 0.5 + ring * 0.8), mix(_GOLD, _WHITE, 0.7), RINGS)
    elif face.earrings == "hoops":
        big, small = at + (0, 4.6) + ring * (4.4, 5.2), at + (0, 4.6) + ring * (2.9, 3.7)
        canvas.paint(cover(big).without(cover(small).whole()), _GOLD, RINGS)
    else:
        drop = np.array([(0, 0), (1.9, 6), (2.4, 8.4), (0, 11), (-2.4, 8.4), (-1.9, 6)])
        canvas.paint(cover(at + ring * 1.4), _GOLD, RINGS)
        canvas.paint(cover(at + outline(drop)), np.array((46.0, 150, 140)), RINGS)
        canvas.paint(cover(at + (-0.6, 8) + ring * 0.8), np.array((200.0, 240, 230)), RINGS)


_LENSES = {  # points around the right lens, from its middle
    "round": circle(9) * (9.2, 8.8),
    "square": [(-9.4, -6), (-8, -7.6), (0, -8), (9, -7.6), (10.4, -6), (9.8, 5), (7.6, 7.4),
               (0, 7.8), (-7.2, 7.4), (-9, 5)],
    "cat-eye": [(-9.2, -4), (-6, -6.4), (2, -7.2), (9.2, -9.6), (12.6, -10), (11, -3), (8, 4.4),
                (0, 6.8), (-6.4, 5.4), (-9, 1)],
    "sunglasses": [(-10, -6), (-7, -7.4), (2, -7.8), (10, -7), (11.4, -4), (9.6, 4), (4, 8.2),
                   (-3, 7.8), (-8.4, 3.4)],
}  # fmt: skip
_FRAMES = {  # colour and thickness
    "round": ((166, 120, 52), 1.5),
    "square": ((34, 34, 42), 2.2),
    "cat-eye": ((150, 28, 60), 2.3),
    "sunglasses": ((22, 22, 26), 1.9),
}


_AHEAD = 32.5  # of the head's middle: where the lenses are


def arms(canvas: Canvas, head: Head, face: Face) -> None:
    """From the lenses to the ears; hair hides them."""
    if face.glasses == "none":
        return
    y, lines = head.eyes + 0.4, []
    for side in _SIDES:
        if side * face.yaw < 0.12:  # the arm on the far side is hidden by the head
            arm = np.array([(side * 24.5, y - 2.5, _AHEAD - 7.4), (side * 28.6, y - 2, 0)])
            lines.append(stroke(curve(head.seen(arm * (head.width, 1, 1))), 1.9, 1, 1))
    canvas.paint(cover(*lines), np.array(_FRAMES[face.glasses][0], float), GLASSES)


def glasses(canvas: Canvas, head: Head, face: Face) -> None:
    """Lenses with the light on them, frames and bridge."""
    if face.glasses == "none":
        return
    tone, thick = _FRAMES[face.glasses]
    frame = np.array(tone, float)
    y, ahead = head.eyes + 0.4, _AHEAD
    shapes = []
    for side in _SIDES:
        lens = np.array(_LENSES[face.glasses]) * (side, 1) * (1 - 0.05 * head.child)
        flat = outline(lens) + (side * 13.4, y)
        depth = ahead - 0.012 * flat[:, 0] ** 2  # bowed around the face
        shapes.append(head.seen(np.stack([flat[:, 0] * head.width, flat[:, 1], depth], 1)))
    middles = [shape.mean(0) for shape in shapes]
    both = cover(*shapes)
    if face.glasses == "sunglasses":
        canvas.paint(both.thin(0.93), np.array((46.0, 44, 54)), GLASSES)
    else:
        canvas.paint(both.thin(0.10), np.array((222.0, 240, 255)))
    glare = np.array([(-1.2, -9), (2.6, -9), (-3.2, 9), (-7, 9)])
    light = cover(*(m + glare for m in middles), soft=0.4).within(both.whole())
    canvas.paint(light.thin(0.20), _WHITE)
    shrunk = 1 - thick / 8.5
    inner = cover(*(m + (s - m) * shrunk for m, s in zip(middles, shapes, strict=True)))
    canvas.paint(both.without(inner.whole()), frame, GLASSES)
    bridge = np.array([(-4.6, y - 1.4, ahead), (0, y - 3, ahead + 1), (4.6, y - 1.4, ahead)])
    line = stroke(curve(head.seen(bridge)), thick + 0.2, 1, 1)
    canvas.paint(cover(line).without(inner.whole()), frame, GLASSES)


# ---- hats ------------------------------------------------------------------------------------


class _Cloth:
    """A hat's colour in the light."""

    def __init__(self, face: Face, light: np.ndarray) -> None:
        self.colour = np.array(HATS[face.hat_colour], np.float32)
        self._light = light

    def lit(self, ink: Ink, share: float = 1.0) -> np.ndarray:
        """(h, w, 3) for an ink, darkened to this share."""
        return self.colour * np.float32(share) * (0.52 + 0.62 * self._light[ink.box])[..., None]


def below_hat(head: Head, face: Face) -> np.ndarray | None:
    """The coverage (128, 128) of what a hat leaves of the hair; None without a hat."""
    if face.hat == "none":
        return None
    half = np.array([(30, -19), (34, -14), (40, -6), (60, 2), (140, 2), (140, 200)])
    edge = np.concatenate([half[::-1] * (-1, 1), half]) - (4 * np.sin(head.yaw), 0)
    return cover(head.flat(edge)).whole()


def hat(canvas: Canvas, head: Head, face: Face, light: np.ndarray) -> None:
    """Any hat, in the head's light (128, 128)."""
    if face.hat != "none":
        draw = {"cap": _cap, "beanie": _beanie, "sun hat": _sun_hat}[face.hat]
        draw(canvas, head, _Cloth(face, light))


def _band(
    head: Head, y: float, x: float, z: float, tilt: float, *, whole: bool = False
) -> np.ndarray:
    """A ring of half axes x and z around the head, seen: its front from left to right, (25, 2)."""
    turn = np.linspace(2 * np.pi, 0, 48) if whole else np.linspace(np.pi, 0, 25)
    deep = np.sin(turn) * z
    return head.seen(np.stack([np.cos(turn) * x * head.width, y + tilt * deep, deep - 4], 1))


def _crown(head: Head, grow: float, height: float, rim: np.ndarray) -> Ink:
    """What sits on the skull above a rim."""
    left, right = head.sides(grow, 0, 5)
    rise = height * np.array([1, 0.95, 0.75, 0.35, 0.0])[:, None] * (0, 1)
    dome = head.flat(curve(np.concatenate([(left - rise)[::-1], (right - rise)[1:]])))
    return cover(np.concatenate([dome, rim[::-1]]))


def _level(head: Head) -> float:
    """The slope that a brim keeps when the head nods: it never hides the eyes."""
    return 0.75 * float(np.sin(head.pitch))


def _cap(canvas: Canvas, head: Head, cloth: _Cloth) -> None:
    crown = _crown(head, 3.6, 2.0, _band(head, -18, 32.5, 38, 0.03))
    canvas.paint(crown, cloth.lit(crown), HAT)
    seams = [
        stroke(
            curve(head.seen(np.array([(x, -21, 29), (0.75 * x, -33, 21), (0.1 * x, -46, -4)]))), 0.9
        )
        for x in (-13.0, 13.0)
    ]
    canvas.paint(cover(*seams).within(crown.whole()).thin(0.5), cloth.colour * 0.55)
    button = cover(head.seen(np.array([(0, -48, -4)])) + circle(12) * (3, 1.7))
    canvas.paint(button, cloth.colour * 0.8, HAT)
    half = np.array([(25.5, -18.5, 20), (25, -14.6, 34), (16, -11.4, 46), (0, -10.2, 51)])
    front = np.concatenate([half * (-head.width, 1, 1), half[2::-1] * (head.width, 1, 1)])
    back = np.array([(13, -20.5, 31), (0, -21.5, 34), (-13, -20.5, 31)])
    front[:, 1] += _level(head) * (front[:, 2] - 20)
    peak = cover(outline(head.seen(np.concatenate([front, back]))))
    canvas.paint(peak, cloth.lit(peak, 0.82), HAT)
    rim = stroke(curve(head.seen(front[1:-1])), 1.1)
    canvas.paint(cover(rim).thin(0.5), cloth.colour * 0.5)


def _beanie(canvas: Canvas, head: Head, cloth: _Cloth) -> None:
    low, high = _band(head, -15.5, 34.2, 39.5, 0.02), _band(head, -26, 33.6, 39, 0.02)
    crown = _crown(head, 5.0, 4.0, low)
    canvas.paint(crown, cloth.lit(crown), HAT)
    fold = cover(np.concatenate([low, high[::-1]]))
    canvas.paint(fold, cloth.lit(fold, 0.86), HAT)
    ribs = [stroke(np.stack(pair), 1.0, 1, 1) for pair in zip(low[1::2], high[1::2], strict=True)]
    canvas.paint(cover(*ribs, stroke(high, 1.0, 1, 1)).thin(0.4), cloth.colour * 0.5)


def _sun_hat(canvas: Canvas, head: Head, cloth: _Cloth) -> None:
    slope = 0.17 + _level(head)
    brim = cover(_band(head, -20, 55, 50, slope, whole=True))
    canvas.paint(brim, cloth.lit(brim, 0.92), HAT)
    crown = _crown(head, 4.0, 5.0, _band(head, -20, 33, 38, 0.6 * slope))
    canvas.paint(crown, cloth.lit(crown), HAT)
    low, high = _band(head, -20, 33.2, 38, 0.6 * slope), _band(head, -25.5, 33, 38, 0.6 * slope)
    ribbon = cover(np.concatenate([low, high[::-1]])).within(crown.whole())
    canvas.paint(ribbon, mix(cloth.colour, _WHITE, 0.75), HAT)
    edge = stroke(_band(head, -20, 55, 50, slope), 1.0, 1, 1)
    canvas.paint(cover(edge).thin(0.35), cloth.colour * 0.5)
