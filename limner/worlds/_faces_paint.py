"""From a ``Face`` to its picture: the layers in their order, and where the landmarks lie."""

from __future__ import annotations

import numpy as np

from limner.errors import BadInput
from limner.worlds import _faces_features as features
from limner.worlds import _faces_skin as skins
from limner.worlds import _faces_things as things
from limner.worlds._faces_clothes import clothes
from limner.worlds._faces_drawn import STYLES, drawn
from limner.worlds._faces_face import Face
from limner.worlds._faces_hair import Hair
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import SIDE, Canvas, cover, mix
from limner.worlds._faces_rooms import ground

__all__ = ["landmarks", "paint"]


def paint(face: Face, style: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The picture uint8 (128, 128, 3) and its parts uint8 (128, 128), numbers as in ``PARTS``.

    In one of ``STYLES`` where it is named; the parts are the same in any.
    """
    if style not in (None, *STYLES):
        raise BadInput(f"a face is drawn as {', '.join(STYLES)} or in no style, not {style!r}")
    canvas = _painted(face, zombie=style == "zombie")
    picture = canvas.finished()
    return (drawn(picture, canvas.parts, style, face.grain) if style else picture), canvas.parts


def _painted(face: Face, *, zombie: bool) -> Canvas:
    """Layer by layer, from the background to the hat."""
    canvas, head = Canvas(ground(face)), Head(face)
    skin = skins.Skin(face, head, zombie=zombie)
    hair = Hair(face, head, skin, things.below_hat(head, face))
    far = 1 if face.yaw > 0 else -1  # the ear that the head may hide
    turned = abs(face.yaw) > 0.15
    ink = cover(head.outline())
    whole = ink.whole()
    hair.back(canvas)
    skins.neck(canvas, head, face, skin, ink)
    clothes(canvas, head, face)
    if not hair.cut.covers_ears:
        skins.ears(canvas, head, face, skin, far)
        if turned:
            things.earrings(canvas, head, face, far)
    skins.front(canvas, head, face, skin, ink)
    skins.wrinkles(canvas, head, face, skin, whole)
    if face.blush != "none":
        features.blush(canvas, head, skin, whole)
    skins.nose(canvas, head, face, skin, whole)
    hair.beard(canvas, whole)
    features.mouth(canvas, head, face, skin)
    hair.moustache(canvas)
    features.eyes(canvas, head, face, skin, whole)
    features.brows(canvas, head, face, mix(hair.middle, hair.dark, 0.5), whole)
    things.arms(canvas, head, face)
    hair.front(canvas, whole)
    if not hair.cut.covers_ears:
        skins.ears(canvas, head, face, skin, -far)
    things.glasses(canvas, head, face)
    things.earrings(canvas, head, face, -far)
    if not turned:
        things.earrings(canvas, head, face, far)
    things.hat(canvas, head, face, skin.light)
    return canvas


def landmarks(face: Face) -> dict[str, tuple[int, int]]:
    """Pixels (x, y) of both eyes, the nose's tip, the mouth's corners and the chin.

    Left and right are the picture's.
    """
    head = Head(face)
    lips = features.corners(head, face)
    spots = {
        "left_eye": head.spot(-13.3, head.eyes, 1.0),
        "right_eye": head.spot(13.3, head.eyes, 1.0),
        "nose": head.spot(0, head.nose - 1.5, 8.0),
        "mouth_left": lips[0],
        "mouth_right": lips[1],
        "chin": head.flat(head.sides()[0, -1:] - (0, 3.0))[0],
    }
    return {
        name: (int(np.clip(x, 0, SIDE - 1)), int(np.clip(y, 0, SIDE - 1)))
        for name, (x, y) in spots.items()
    }
