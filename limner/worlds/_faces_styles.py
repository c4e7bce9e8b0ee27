"""The shapes of hair: for each style what hangs behind the head and what lies on it.

A style is drawn as its outer shape without the window through which the face looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from limner.worlds._faces_face import Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import curve, outline

__all__ = ["STYLES", "Cut"]


@dataclass
class Cut:
    """Closed outlines (n, 2) in pixels. ``texture`` is strands, waves or curls."""

    outer: list[np.ndarray]
    window: np.ndarray
    behind: list[np.ndarray] = field(default_factory=list)  # drawn before neck and clothes
    over: list[np.ndarray] = field(default_factory=list)  # locks over all of it, one by one
    texture: str = "strands"
    opacity: float = 1.0
    covers_ears: bool = False


def _mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    """A hairline from its left half, which ends at the middle or just before it."""
    left = np.array(half, float)
    right = left[::-1] * (-1, 1)
    return np.concatenate([left, right[1:] if left[-1, 0] == 0 else right])


def _window(head: Head, line: np.ndarray, *, to_ears: bool = True) -> np.ndarray:
    """From the left temple along the hairline to the right one, open at the bottom."""
    line = curve(line, 4)
    low = np.clip((line[:, 1] + 22) / 10, 0, 1) * (line[:, 1] < 12)
    face = head.on(head.past(line, low), 1.0)  # no hair is seen in front of the far temple
    if not to_ears:
        ends = head.flat(np.array([(line[-1, 0], 130), (line[0, 0], 130)]))
        return np.concatenate([face, ends])
    far = [70 * max(side * head.yaw, 0.0) for side in (-1, 1)]
    left, right = (
        [(side * (34 + more), 3, -7), (side * (37 + more), 17, -32)]
        for side, more in zip((-1, 1), far, strict=True)
    )
    around = head.seen(np.array([*right, *left[::-1]]) * (head.width, 1, 1))
    below = head.flat(np.array([(95, 17), (95, 130), (-95, 130), (-95, 17)]))
    return np.concatenate([face, around[:2], below, around[2:]])


def _cap(head: Head, grow: float, hug: float = -26.0) -> np.ndarray:
    """Hair that follows the skull down to the ears."""
    left, right = head.sides(grow, 0, 7, hug)
    return head.flat(curve(np.concatenate([left[::-1], right[1:]])))


def _hanging(head: Head, grow: float, below: list[tuple[float, float]]) -> np.ndarray:
    """A cap that goes on below the cheekbones through points (x, y) of its right side."""
    left, right = head.sides(grow, 0, 6)
    x, y = np.array(below).T
    lower = [np.stack([side * x * head.width - 5 * np.sin(head.yaw), y], 1) for side in (-1, 1)]
    whole = np.concatenate([lower[0][::-1], left[::-1], right[1:], lower[1]])
    return head.flat(outline(whole, 5))


def _bumpy(shape: np.ndarray, height: float, length: float) -> np.ndarray:
    """A closed outline with round curls along it."""
    closed = np.concatenate([shape, shape[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    total = steps.sum()
    count = max(int(total / length), 3)
    at = np.linspace(0, total, 8 * count, endpoint=False)
    along = np.concatenate([[0], np.cumsum(steps)])
    even = np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], 1)
    out = even - shape.mean(0)
    out /= np.maximum(np.hypot(*out.T), 1e-6)[:, None]
    bump = np.abs(np.sin(np.arange(8 * count) * np.pi / 8))
    bumped: np.ndarray = even + out * (height * (bump - 0.4))[:, None]
    return bumped


_SIDEBURN = [(-29, 5), (-28, 0), (-26.8, -9)]


def _bald(head: Head, face: Face) -> Cut:
    return Cut([], np.empty((0, 2)))


def _balding(head: Head, face: Face) -> Cut:
    line = _mirrored(
        [*_SIDEBURN, (-25.8, -15), (-27.4, -20.5), (-29.6, -25.5), (-36, -34), (-50, -80), (0, -90)]
    )
    return Cut([_cap(head, 1.2 + 1.8 * face.hair_length, -60)], _window(head, line))


def _buzz(head: Head, face: Face) -> Cut:
    line = _mirrored([*_SIDEBURN, (-23.5, -18), (-16, -24.5), (-7, -26.5), (0, -27)])
    return Cut([_cap(head, 0.3 + 1.2 * face.hair_length)], _window(head, line), opacity=0.82)


def _short(head: Head, face: Face) -> Cut:
    line = [*_SIDEBURN, (-25, -17), (-20, -24), (-13.5, -29), (-6, -27.5), (3, -24.5), (12, -21),
            (20, -16.5), (25.2, -10.5), (27.6, -3), (29, 5)]  # fmt: skip
    return Cut([_cap(head, 3.6 + 3.4 * face.hair_length)], _window(head, np.array(line)))


def _quiff(head: Head, face: Face) -> Cut:
    rise = 6 * face.hair_length
    tuft = np.array([(-24, -24, 10), (-25, -34, 12), (-20, -42 - 0.5 * rise, 14),
                     (-9, -47 - 0.8 * rise, 16), (5, -50 - rise, 18), (17, -50.5 - rise, 18),
                     (25, -45 - rise, 14), (27, -37 - 0.4 * rise, 12),
                     (25, -24, 10), (14, -26, 22), (0, -25, 24), (-14, -26, 22)])  # fmt: skip
    line = _mirrored([*_SIDEBURN, (-24, -18), (-18, -25.5), (-8, -27), (0, -26)])
    return Cut([_cap(head, 2.2), outline(head.seen(tuft))], _window(head, line))


def _mohawk(head: Head, face: Face) -> Cut:
    high = 10 + 7 * face.hair_length
    before, behind = np.linspace(0.62, 1.62, 7), np.linspace(1.3, 2.9, 9)  # front, top and back
    return Cut([*_crest(head, before, high)], np.empty((0, 2)), [*_crest(head, behind, high)])


def _crest(head: Head, turn: np.ndarray, high: float) -> list[np.ndarray]:
    """Spikes along the middle of the skull at these angles from the front, and what joins them."""
    zero = np.zeros_like(turn)
    out = np.stack([zero, -np.sin(turn), np.cos(turn)], 1)
    foot = out * (0, 41, 33) + (0, 0, -3)
    across, along = np.array((1.0, 0, 0)), np.stack([zero, -np.cos(turn), -np.sin(turn)], 1)
    shapes = []
    for rise, wide in ((0.0, 8.5), (0.3, 8.0), (0.6, 5.6)):  # bands over the skull, narrower upward
        ridge = foot + out * high * rise
        for k in range(len(turn) - 1):
            near, far = ridge[k], ridge[k + 1]
            band = [
                near - across * wide,
                near + across * wide,
                far + across * wide,
                far - across * wide,
            ]
            wall = [foot[k], foot[k + 1], far, near]
            shapes += [head.seen(np.array(band)), head.seen(np.array(wall))]
    for base, up, forth in zip(foot, out, along, strict=True):
        tip, low, waist = base + up * high, base, base + up * 0.6 * high
        for side in (across * 8.5, forth * 7.0):
            spike = [low - side, waist - 0.62 * side, tip, waist + 0.62 * side, low + side]
            shapes.append(head.seen(np.array(spike)))
    return shapes


def _curly(head: Head, face: Face) -> Cut:
    line = _mirrored([(-29, 4), (-26, -6), (-25, -15), (-19, -20.5), (-11, -22.5), (0, -21.5)])
    edge = _window(head, line)
    cap = _bumpy(_cap(head, 6 + 5 * face.hair_length), 3.2, 7.5)
    return Cut([cap], edge, texture="curls")


def _afro(head: Head, face: Face) -> Cut:
    grow = 10 + 6 * face.hair_length
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ball = np.stack([np.sin(turn) * (31 + grow), -13 - np.cos(turn) * (30 + grow)], 1)
    ball = head.flat(ball * (head.width, 1) + (-6 * np.sin(head.yaw), 0))
    line = _mirrored([(-27.5, 26), (-27.5, 8), (-25.5, -8), (-22, -18.5), (-12, -25), (0, -26.5)])
    shape = _bumpy(ball, 2.2, 6.0)
    return Cut(
        [shape], _window(head, line, to_ears=False), [shape], texture="curls", covers_ears=True
    )


def _bob(head: Head, face: Face) -> Cut:
    low = 25 + 12 * face.hair_length
    shape = _hanging(
        head, 5.2, [(36, 10), (38.5, low - 8), (36, low + 1), (27, low + 2), (12, low)]
    )
    line = _mirrored([(-19, 46), (-22.5, 30), (-24.2, 14), (-25, 0), (-24.6, -9), (-22.5, -13.2),
                      (-12, -14.6), (0, -14)])  # fmt: skip
    return Cut([shape], _window(head, line, to_ears=False), [shape], covers_ears=True)


def _straight(head: Head, face: Face) -> Cut:
    low = 44 + 24 * face.hair_length
    shape = _hanging(
        head, 4.4, [(34.5, 12), (36, 32), (37, low - 8), (33, low), (29, low + 4), (19, low - 3)]
    )
    line = _mirrored([(-17.5, 74), (-20, 50), (-22, 32), (-24.4, 14), (-25.8, 0), (-25, -11),
                      (-21.5, -20.5), (-14, -28), (-6, -32), (0, -34.5)])  # fmt: skip
    return Cut([shape], _window(head, line, to_ears=False), [shape], covers_ears=True)


def _wavy(head: Head, face: Face) -> Cut:
    low = 42 + 24 * face.hair_length
    sides = [
        (36.5, 8),
        (39.5, 18),
        (37, 28),
        (41, 40),
        (38, low - 8),
        (33, low),
        (28, low + 4),
        (19, low - 3),
    ]
    shape = _hanging(head, 6.2, sides)
    line = [(-17, 74), (-21.5, 50), (-19.5, 38), (-24, 24), (-23.2, 12), (-26, 0), (-25.4, -10),
            (-22, -20), (-15, -29), (-9, -35), (-2, -29.5), (8, -24), (17, -18), (23.4, -10),
            (25.6, 1), (23, 12), (24.2, 24), (19.5, 38), (21.5, 50), (17, 74)]  # fmt: skip
    edge = _window(head, np.array(line), to_ears=False)
    return Cut([shape], edge, [shape], texture="waves", covers_ears=True)


_SWEPT_BACK = _mirrored([*_SIDEBURN, (-23.5, -19), (-16, -26.5), (-7, -30), (0, -31)])


def _ponytail(head: Head, face: Face) -> Cut:
    side = -1 if head.yaw >= 0 else 1  # where the back of the head can be seen
    low = 16 + 34 * face.hair_length
    tail = np.array([(2, -40), (9, -52), (24, -55), (38, -44), (45, -22), (46, 0), (43, low - 6),
                     (37, low + 4), (35, low - 8), (35, 0), (32, -20), (20, -34)])  # fmt: skip
    behind = head.flat(outline(tail * (side, 1) - (8 * np.sin(head.yaw), 0)))
    return Cut([_cap(head, 2.6)], _window(head, _SWEPT_BACK), [behind])


def _bun(head: Head, face: Face) -> Cut:
    r = 9.5 + 3.0 * face.hair_length
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    middle = head.seen(np.array([(0, -42 - 0.55 * r, -10)]))
    knot = middle + np.stack([np.sin(turn) * 1.12, np.cos(turn)], 1) * r * head.size
    return Cut([_cap(head, 2.6)], _window(head, _SWEPT_BACK), [knot])


def _braids(head: Head, face: Face) -> Cut:
    line = _mirrored(
        [(-29, 6), (-27, -2), (-25.3, -11), (-21, -20.5), (-14, -28), (-6, -32), (0, -34.5)]
    )
    low = 44 + 22 * face.hair_length
    locks = []
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for side in (-1, 1):
        heights = np.arange(18.0, low, 6.2)
        for k, y in enumerate(heights):
            slim = 1 - 0.25 * (y - 18) / 48
            lobe = np.stack([np.cos(turn) * 6.4, np.sin(turn) * 5.0], 1) * slim
            lean = 0.5 * (-1) ** k
            lobe[:, 1] += lean * lobe[:, 0]
            x = side * (31.5 + 12 * max(side * head.yaw, 0.0) - 0.06 * (y - 18))
            at = np.array([x - 3 * np.sin(head.yaw) + 0.9 * (-1) ** k, y])
            locks.append(head.flat(lobe + at))
        tuft = np.array([(-3, 0), (3, 0), (4.4, 7), (0, 11), (-4.4, 7)]) + (at[0], low + 3.5)
        locks.append(head.flat(outline(tuft)))
    return Cut([_cap(head, 3.4)], _window(head, line), over=locks)


STYLES: dict[str, Callable[[Head, Face], Cut]] = {
    "bald": _bald,
    "balding": _balding,
    "buzz": _buzz,
    "short": _short,
    "quiff": _quiff,
    "mohawk": _mohawk,
    "curly": _curly,
    "afro": _afro,
    "bob": _bob,
    "straight": _straight,
    "wavy": _wavy,
    "ponytail": _ponytail,
    "bun": _bun,
    "braids": _braids,
}
