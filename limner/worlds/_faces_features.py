"""Eyes, brows and mouth, with what is painted on them."""

from __future__ import annotations

import numpy as np

from limner.worlds._faces_face import PARTS, Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import Canvas, Ink, blot, circle, cover, curve, mix, stroke
from limner.worlds._faces_skin import Skin

__all__ = ["IRIS", "LIPS", "SHADOW", "blush", "brows", "corners", "eyes", "mouth"]

EYES, BROWS, MOUTH = PARTS.index("eyes"), PARTS.index("brows"), PARTS.index("mouth")
IRIS = {
    "brown": (112, 66, 34),
    "blue": (62, 128, 196),
    "green": (84, 142, 78),
    "grey": (130, 140, 148),
}
SHADOW = {"blue": (64, 110, 206), "green": (56, 150, 112), "purple": (140, 72, 176)}
LIPS = {"red": (196, 24, 44), "pink": (232, 88, 142), "purple": (126, 44, 128)}
_SIDES = (-1, 1)
_WHITE = np.array((255.0, 255, 255))
_LASH = np.array((38.0, 26, 24))
_APART = 13.3  # from the middle of the face to the middle of an eye


def _eye_size(head: Head, face: Face) -> float:
    own = {"masculine": 0.96, "androgynous": 1.0, "feminine": 1.05}[face.presentation]
    return own * (1 + 0.17 * face.eye_size) * (1 + 0.16 * head.child - 0.06 * head.old)


def _lids(head: Head, face: Face, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The upper and the lower lid from the nose outwards, (9, 2) on the face."""
    size = _eye_size(head, face)
    sad, glad = max(-face.smile, 0.0), max(face.smile, 0.0)
    x = np.linspace(-1, 1, 9)
    arch = 1 - np.abs(x) ** 2.2
    up = 4.5 * (1 + 0.25 * face.surprise - 0.10 * glad - 0.14 * sad - 0.16 * head.old)
    down = 3.4 * (1 + 0.15 * face.surprise - 0.34 * glad)
    slant = 0.7 * x * (-1 + 2.0 * sad + 0.8 * head.old)
    droop = 0.4 * arch * (1 - x) * sad
    across = side * (_APART + 7.4 * size * x)
    upper = head.eyes + size * (slant - up * arch * (1 - 0.12 * x) - droop)
    lower = head.eyes + size * (slant + down * arch * (1 + 0.1 * x))
    return np.stack([across, upper], 1), np.stack([across, lower], 1)


def eyes(canvas: Canvas, head: Head, face: Face, skin: Skin, whole: np.ndarray) -> None:
    """Both of them, as far as the head (its coverage) shows them."""
    size = _eye_size(head, face)
    lids = [_lids(head, face, side) for side in _SIDES]
    tops = [curve(head.on(upper, 1.0), 3) for upper, _ in lids]
    lows = [curve(head.on(lower, 1.0), 3) for _, lower in lids]
    if face.eye_shadow != "none":
        rise = (0, -4.4 * size) * (1 - np.linspace(-0.8, 1, 9)[:, None] ** 2)
        raised = [curve(head.on(upper + rise, 1.0), 3) for upper, _ in lids]
        lid = [np.concatenate([r, t[::-1]]) for r, t in zip(raised, tops, strict=True)]
        colour = np.array(SHADOW[face.eye_shadow], float)
        canvas.paint(cover(*lid, soft=0.8).within(whole).thin(0.72), colour)
    shapes = [np.concatenate([t, b[::-1]]) for t, b in zip(tops, lows, strict=True)]
    balls = cover(*shapes).within(whole)
    canvas.paint(balls, np.array((248.0, 246, 243)), EYES)
    white = balls.whole()
    _irises(canvas, head, face, white)
    shadow = cover(*(stroke(top + (0, 1.2), 2.6) for top in tops), soft=0.6).within(white)
    canvas.tint(shadow.thin(0.5), np.array((0.62, 0.58, 0.62)))
    rims = cover(*(stroke(low, 0.9) for low in lows)).within(whole)
    canvas.paint(rims.thin(0.45), skin.line)
    creases = [head.on(upper[1:] + (0, -2.3 * size), 1.0) for upper, _ in lids]
    folds = cover(*(stroke(curve(c, 3), 1.1) for c in creases), soft=0.3).within(whole)
    canvas.paint(folds.thin(0.5), skin.line)
    _lashes(canvas, head, face, [upper for upper, _ in lids], tops, whole)


def _lashes(
    canvas: Canvas,
    head: Head,
    face: Face,
    uppers: list[np.ndarray],
    tops: list[np.ndarray],
    whole: np.ndarray,
) -> None:
    """The dark line of the upper lid, with a flick at its end where lashes are long."""
    thick = {"masculine": 1.35, "androgynous": 1.7, "feminine": 2.1}[face.presentation]
    if face.presentation == "feminine":
        size = _eye_size(head, face)
        flicks = [
            head.on(upper[-1:] + (1.9 * side * size, -1.5 * size), 1.0)
            for side, upper in zip(_SIDES, uppers, strict=True)
        ]
        tops = [np.concatenate([t, f]) for t, f in zip(tops, flicks, strict=True)]
    ink = cover(*(stroke(top, thick, 0.3, 0.25) for top in tops))
    canvas.paint(ink.within(whole), _LASH)


def _irises(canvas: Canvas, head: Head, face: Face, white: np.ndarray) -> None:
    """The coloured discs, darker at the rim, and the light in them; they look at the viewer."""
    down = head.eyes - 0.5 + 2 * np.sin(face.pitch)
    spots = [head.spot(s * _APART - 3.2 * np.sin(face.yaw), down, 1.0) for s in _SIDES]
    r = 4.1 * head.size * _eye_size(head, face) * (1 - 0.05 * head.old)
    disc = circle(24) * (np.cos(0.6 * face.yaw), 1)
    colour = np.array(IRIS[face.eye_colour], float)

    def discs(size: float, right: float = 0, low: float = 0, soft: float = 0) -> Ink:
        middles = (at + (right * r, low * r) for at in spots)
        return cover(*(m + disc * (size * r) for m in middles), soft=soft).within(white)

    canvas.paint(discs(1), colour * 0.55)
    canvas.paint(discs(0.8, soft=0.4), colour)
    canvas.paint(discs(0.45, 0, 0.42, soft=0.7).thin(0.6), mix(colour, _WHITE, 0.45))
    canvas.paint(discs(0.46), np.array((16.0, 12, 14)))
    canvas.paint(discs(0.27, -0.36, -0.40), _WHITE)
    canvas.paint(discs(0.15, 0.40, 0.42).thin(0.7), _WHITE)


def brows(canvas: Canvas, head: Head, face: Face, colour: np.ndarray, whole: np.ndarray) -> None:
    """Both brows in this colour."""
    sad, glad = max(-face.smile, 0.0), max(face.smile, 0.0)
    thick = {"masculine": 3.2, "androgynous": 2.6, "feminine": 2.1}[face.presentation]
    thick = (thick + 0.9 * face.brows) * (1 - 0.25 * head.child)
    arch = 1.6 if face.presentation == "feminine" else 0.8
    y = head.brow - 3.6 * face.surprise - 0.6 * glad
    half = np.array([(6.2, y + 0.5 - 2.4 * sad), (10.5, y - 0.7 - 0.7 * sad), (16.0, y - arch),
                     (20.0, y + 0.4 + 0.9 * sad), (22.6, y + 2.4 + 1.4 * sad)])  # fmt: skip
    lines = [curve(head.on(half * (side, 1), 1.5)) for side in _SIDES]
    ink = cover(*(stroke(line, thick, 0.55, 0.12) for line in lines))
    canvas.paint(ink.within(whole).thin(0.92), colour, BROWS)


def _lips(head: Head, face: Face) -> tuple[np.ndarray, float]:
    """The lips' four edges from the top down, left to right on the face, (4, 13, 2).

    The second is how far the mouth is open.
    """
    glad, sad, o = max(face.smile, 0.0), max(-face.smile, 0.0), face.surprise
    half = (9.4 - 1.9 * head.child) * (1 + 0.22 * glad - 0.06 * sad) * (1 - 0.38 * o)
    apart = 6.6 * max(glad - 0.5, 0) * (1 - o) + 5.6 * o * (1 - 0.2 * head.child)
    full = {"masculine": 1.0, "androgynous": 1.2, "feminine": 1.38}[face.presentation]
    full *= (1 - 0.35 * head.old) * (1 - 0.12 * glad)
    x = np.linspace(-1, 1, 13)
    arch = 1 - x**2
    corner = -0.5 - 4.0 * glad + 3.4 * sad
    bend = head.mouth + corner * np.abs(x) ** 1.8 + 1.1 * glad - 0.8 * sad
    bow = np.exp(-(((np.abs(x) - 0.26) / 0.22) ** 2)) - 0.45 * np.exp(-((x / 0.13) ** 2))
    inner_top = bend - apart * (0.25 * (1 - o) + 0.85 * o) * np.sqrt(arch)
    inner_low = bend + apart * (1.75 * (1 - o) + 1.05 * o) * np.sqrt(arch)
    outer_top = inner_top - full * (1.7 * arch**0.7 + 0.75 * bow)
    outer_low = inner_low + full * 3.1 * arch**0.8
    edges = np.stack([outer_top, inner_top, inner_low, outer_low])
    return np.stack([np.broadcast_to(half * x, edges.shape), edges], 2), apart


def corners(head: Head, face: Face) -> np.ndarray:
    """The mouth's left and right corner, (2, 2) pixels."""
    return head.on(_lips(head, face)[0][1, [0, -1]], 2.0)


def mouth(canvas: Canvas, head: Head, face: Face, skin: Skin) -> None:
    """Lips, and what is seen between them."""
    edges, apart = _lips(head, face)
    seen = head.on(edges.reshape(-1, 2), 2.0).reshape(edges.shape)
    top, in_top, in_low, low = (curve(edge, 2) for edge in seen)
    rosy = 0.55 if face.presentation == "feminine" else 0.44
    colour = mix(skin.base, np.array((186.0, 70, 78)), rosy)
    if face.lipstick != "none":
        colour = np.array(LIPS[face.lipstick], float)
    whole = cover(np.concatenate([top, low[::-1]]))
    canvas.paint(whole, colour, MOUTH)
    upper = cover(np.concatenate([top, in_top[::-1]]))
    canvas.tint(upper.thin(0.6), np.array((0.80, 0.74, 0.76)))
    shine = (seen[2, 6] + seen[3, 6]) / 2 - (1.2, 0)
    gloss = blot(shine, 3.6, 1.3).within(whole.whole())
    canvas.paint(gloss.thin(0.28 if face.lipstick == "none" else 0.5), mix(colour, _WHITE, 0.7))
    if apart < 0.9:
        line = stroke((in_top + in_low) / 2, 1.3, 0.5, 0.5)
        canvas.paint(cover(line).thin(0.8), colour * 0.45)
        return
    inside = cover(np.concatenate([in_top, in_low[::-1]]))
    canvas.paint(inside, np.array((92.0, 22, 30)))
    within = inside.whole()
    tongue = blot(in_low[len(in_low) // 2], 5.5, 3).within(within)
    canvas.paint(tongue.thin(0.8), np.array((206.0, 92, 98)))
    row = mix(in_top, in_low, (0.62 if apart > 1.5 else 0.9) - 0.46 * face.surprise)
    teeth = cover(np.concatenate([in_top, row[::-1]])).within(within)
    canvas.paint(teeth, np.array((250.0, 247, 240)))
    canvas.paint(cover(stroke(in_top, 0.9)).thin(0.5), skin.line)


def blush(canvas: Canvas, head: Head, skin: Skin, whole: np.ndarray) -> None:
    """Rouge on both cheeks, cut by the head's coverage."""
    colour = mix(skin.base, np.array((240.0, 70, 98)), 0.66)
    for side in _SIDES:
        at = head.spot(17.5 * side, head.nose - 2.5)
        canvas.paint(blot(at, 9.5, 6.5, -0.4 * side).within(whole).thin(0.5), colour)
