"""Portraits cut out about the face, eyes level and always in the same place, as FFHQ's are."""

from __future__ import annotations

import numpy as np
from PIL import Image

from limner.worlds._faces_ink import SIDE

__all__ = ["aligned"]

# Sides of the square in distances between the eyes and from the eyes to the mouth, whichever gives
# more; its middle is a little above halfway between eyes and chin. FFHQ's square (Karras et al.
# 2019, appendix A) has 4 and 3.6 and lies lower; drawn heads have higher hair and no photograph's
# neck.
_EYES, _MOUTH = 3.4, 3.6
_DOWN = 0.1  # from the eyes towards the mouth, where the middle lies

Spots = dict[str, tuple[int, int]]


def aligned(
    picture: np.ndarray, parts: np.ndarray, spots: Spots
) -> tuple[np.ndarray, np.ndarray, Spots]:
    """The picture uint8 (128, 128, 3), its parts (128, 128) and its landmarks, in the square that
    the landmarks ask for; what lies outside the picture is its border's."""
    matrix, middle = _square(spots)
    offset = middle - matrix @ np.full(2, SIDE / 2)  # PIL asks pixels' middles: +½ on both sides
    numbers = [*matrix[0], offset[0], *matrix[1], offset[1]]
    wide = SIDE // 2  # the square may stand over the edge by this much
    padded = np.pad(picture, ((wide, wide), (wide, wide), (0, 0)), mode="edge")
    beyond = np.pad(parts, wide, mode="edge")
    numbers[2] += wide
    numbers[5] += wide
    cut = Image.fromarray(padded).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC
    )
    kinds = Image.fromarray(beyond).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, numbers, Image.Resampling.NEAREST
    )
    back = np.linalg.inv(matrix)
    moved = {
        name: back @ (np.array(spot) + 0.5 - middle) + SIDE / 2 for name, spot in spots.items()
    }
    inside = {
        name: (int(np.clip(x, 0, SIDE - 1)), int(np.clip(y, 0, SIDE - 1)))
        for name, (x, y) in moved.items()
    }
    return np.asarray(cut), np.asarray(kinds), inside


def _square(spots: Spots) -> tuple[np.ndarray, np.ndarray]:
    """What takes an offset from the new middle to one in the picture, (2, 2), and the middle."""
    at = {name: np.array(spot, float) + 0.5 for name, spot in spots.items()}
    across = at["right_eye"] - at["left_eye"]
    eyes = (at["left_eye"] + at["right_eye"]) / 2
    down = (at["mouth_left"] + at["mouth_right"]) / 2 - eyes
    # The axis across is between what the eyes say and what the mouth does: a turned head's eyes
    # alone would tilt the square.
    axis = across + np.array([down[1], -down[0]])
    axis /= np.linalg.norm(axis)
    side = max(_EYES * np.linalg.norm(across), _MOUTH * np.linalg.norm(down))
    matrix = side / SIDE * np.array([[axis[0], -axis[1]], [axis[1], axis[0]]])
    return matrix, eyes + _DOWN * down
