"""The head as a solid: its measures, its outline from any side, and where a point of it is seen.

The head's own axes: x to the right of the picture, y down, z towards the viewer, the origin in its
middle. A unit is a pixel of a grown head of ordinary width before ``SCALE``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from limner.worlds._faces_face import Face
from limner.worlds._faces_ink import SIDE, outline

__all__ = ["Head"]

SCALE = 0.98
MIDDLE = (64.0, 63.5)  # where the head's origin is seen when the head is upright
NECK = (64.0, 108.0)  # the head leans about this point

# From the top of the skull to the chin: half the width, height, the slice's centre towards the
# viewer, half its depth. Looked at from the side, a slice is an ellipse of (width, depth).
_SLICES = np.array(
    [
        (0.0, -43.0, -4.0, 0.0),
        (10.0, -41.3, -4.0, 12.0),
        (19.0, -36.6, -4.0, 22.0),
        (25.4, -28.4, -4.0, 29.5),
        (28.9, -16.0, -4.0, 34.0),
        (29.6, -2.0, -3.0, 33.0),
        (28.2, 11.0, 0.0, 28.0),
        (24.4, 22.5, 4.0, 20.0),
        (16.0, 33.0, 10.0, 13.0),
        (8.5, 38.6, 14.0, 8.0),
        (0.0, 40.5, 17.0, 0.0),
    ]
)
# shape → (temples, cheekbones, jaw, chin) as factors of the width, and the chin's height
_SHAPES = {
    "oval": (0.99, 1.0, 0.97, 0.98, 0.0),
    "round": (1.0, 1.04, 1.08, 1.12, -2.6),
    "square": (1.0, 1.0, 1.13, 1.34, -0.8),
    "heart": (1.04, 1.02, 0.90, 0.70, 0.4),
    "long": (0.93, 0.93, 0.93, 1.0, 4.0),
}


class Head:
    """A face's head in its pose. ``child`` is 1 up to five years or so and 0 from youth on."""

    def __init__(self, face: Face) -> None:
        self.child = float(np.clip((0.3 - face.age) / 0.22, 0, 1))
        self.old = float(np.clip((face.age - 0.55) / 0.4, 0, 1))
        self.width = (1 + 0.07 * face.width) * (1 + 0.02 * self.child)
        self._turn(face)
        temples, cheeks, jaw, chin, drop = _SHAPES[face.shape]
        manly = {"masculine": 1.0, "androgynous": 0.35, "feminine": -0.25}[face.presentation]
        manly *= 1 - self.child
        jaw *= 1 + 0.035 * manly + 0.05 * self.child + 0.03 * self.old
        chin *= 1 + 0.16 * manly
        slices = _SLICES.copy()
        slices[:, 0] *= (
            1,
            temples,
            temples,
            temples,
            temples,
            cheeks,
            cheeks,
            jaw,
            (jaw + chin) / 2,
            chin,
            1,
        )
        slices[:, 0] *= self.width
        low = np.clip((slices[:, 1] - 8) / 30, 0, 1)
        slices[:, 1] += low * (drop + 0.8 * manly - 5.0 * self.child)
        self.slices = slices
        self.chin = float(slices[-1, 1])
        # where the features are: a child's sit lower, over a smaller jaw
        self.eyes = 0.5 + 3.8 * self.child
        self.brow = self.eyes - 9.2 + 0.4 * self.child
        self.nose = self.eyes + 15.6 - 3.8 * self.child + 0.16 * drop
        self.mouth = self.nose + (self.chin - self.nose) * 0.38

    def _turn(self, face: Face) -> None:
        (cy, sy), (cp, sp), (cr, sr) = (
            (np.cos(angle), np.sin(angle)) for angle in (face.yaw, face.pitch, face.roll)
        )
        yaw = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
        pitch = np.array([(1, 0, 0), (0, cp, -sp), (0, sp, cp)])
        self._lean = np.array([(cr, -sr), (sr, cr)])
        self._matrix = (pitch @ yaw)[:2]
        self._sines = sy, cy, sp
        self.yaw, self.pitch = face.yaw, face.pitch
        self.size = SCALE * (1 - 0.05 * self.child)
        self._above = np.array(MIDDLE) + (0, 4.0 * self.child) - NECK

    def flat(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 2) that do not turn with the head, only lean with it → pixels."""
        leant: np.ndarray = (points * self.size + self._above) @ self._lean.T + NECK
        return leant

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the head → pixels (n, 2)."""
        return self.flat(points @ self._matrix.T)

    def on(self, points: np.ndarray, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """Points (n, 2) on the front of the face, raised from it by ``lift`` → pixels (n, 2)."""
        solid = np.empty((len(points), 3))
        solid[:, :2] = points
        x, y = solid[:, 0], solid[:, 1]
        left = 1 - (x * (1 / (33 * self.width))) ** 2 - ((y + 2) * (1 / 52)) ** 2
        jaw = np.minimum(np.maximum((y - 8) * (1 / 30), 0), 1)
        solid[:, 2] = lift - 4 + 34 * np.sqrt(np.maximum(left, 0.03)) + 7 * jaw
        x *= self.width
        return self.seen(solid)

    def past(self, points: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Points (n, 2) on the face, those near its far edge moved beyond it by their share (n,).

        When the head turns, that edge becomes its outline.
        """
        x = points[:, 0]
        far = np.clip((np.abs(x) - 19) / 8, 0, 1) * (x * self.yaw > 0)
        return np.stack([x + far * share * 34 * self.yaw, points[:, 1]], 1)

    def spot(self, x: float, y: float, lift: float = 0.0) -> np.ndarray:
        """One point of the face → pixels (2,)."""
        return self.on(np.array([(x, y)]), lift)[0]

    def sides(
        self, grow: float = 0.0, first: int = 0, last: int = 11, hug: float | None = None
    ) -> np.ndarray:
        """The outline's left and right side, (2, n, 2) in the head's flat axes, top to bottom.

        ``grow`` widens the slices, as hair does. From the height ``hug`` down the far side of a
        turned head is not widened: there the face ends, and the hair is behind it.
        """
        w, y, z, d = self.slices[first:last].T
        sy, cy, sp = self._sines
        more = grow * np.minimum(w / 16, 1)
        far = np.hypot((w + more) * cy, (d + more) * sy)
        height = y - z * cy * sp
        height = height - grow * np.clip((-y - 8) / 35, 0, 1) + grow * (y > 30)
        # seen from the side, the far eye's socket and the cheek below it show in the outline
        socket = np.exp(-(((y + 1) / 7) ** 2)) * 2.0 - np.exp(-(((y - 10) / 8) ** 2)) * 1.2
        socket = socket * min(2 * abs(sy), 1.0)
        if hug is None:
            socket = socket * (grow == 0)
        else:
            hugging = np.clip((y - hug) / 14, 0, 1) * min(3 * abs(sy), 1.0)
            socket = hugging * (socket + grow)
        far = np.stack([far - socket * (sy < 0), far - socket * (sy > 0)])
        left, right = z * sy - far[0], z * sy + far[1]
        return np.stack([np.stack([left, height], 1), np.stack([right, height], 1)])

    def outline(self) -> np.ndarray:
        """The closed outline of the whole head → pixels (n, 2)."""
        left, right = self.sides()
        return self.flat(outline(np.concatenate([right, left[-2:0:-1]])))

    @cached_property
    def upright(self) -> tuple[np.ndarray, np.ndarray]:
        """Each pixel's place in the head's flat axes: x and y, (128, 128) float32."""
        centre = np.arange(SIDE) + 0.5
        to_x = centre[None] - NECK[0]
        to_y = centre[:, None] - NECK[1]
        (cos, msin), (sin, _) = self._lean
        x = (cos * to_x + sin * to_y - self._above[0]) / self.size
        y = (msin * to_x + cos * to_y - self._above[1]) / self.size
        return x.astype(np.float32), y.astype(np.float32)
