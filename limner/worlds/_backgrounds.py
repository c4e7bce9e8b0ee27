"""What stands behind the objects: uint8 (128·s, 128·s, 3), in several variants of each kind.

All sizes are in pixels of the picture at scale 1; at scale s edges are as many times finer.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["VARIANTS", "axis", "background"]

SIDE = 128
VARIANTS = 48  # of each kind; each is drawn once and kept, so that a picture costs a copy

_PLAIN = {  # the named plain grounds, and the pale ones that no caption names
    "red": (214, 70, 66),
    "yellow": (246, 216, 90),
    "blue": (84, 132, 214),
    "green": (104, 178, 96),
}
_PALE = ((240, 240, 238), (226, 234, 242), (244, 234, 220), (232, 240, 228), (238, 228, 238))

# kind → (sky top, sky at the horizon, ground at the horizon, ground at the foot)
_GROUNDS = {
    "grass": ((120, 188, 240), (214, 236, 250), (120, 190, 80), (62, 140, 44)),
    "beach": ((96, 186, 238), (206, 238, 250), (244, 222, 164), (226, 192, 124)),
    "night": ((8, 10, 40), (34, 38, 92), (24, 32, 52), (10, 14, 26)),
    "snow": ((170, 192, 214), (222, 232, 242), (250, 252, 255), (222, 232, 244)),
    "sea": ((134, 200, 240), (220, 240, 250), (44, 130, 190), (14, 74, 140)),
    "desert": ((108, 176, 226), (240, 226, 196), (232, 178, 98), (198, 132, 60)),
    "sunset": ((92, 50, 120), (252, 142, 60), (96, 52, 66), (44, 24, 44)),
    "space": ((8, 6, 22), (20, 12, 44), (20, 12, 44), (8, 6, 22)),
    "underwater": ((60, 176, 206), (24, 112, 168), (16, 84, 138), (10, 50, 98)),
    "city": ((164, 196, 222), (220, 226, 230), (112, 114, 120), (74, 76, 82)),
    "forest": ((150, 196, 160), (104, 160, 108), (70, 120, 56), (42, 82, 34)),
}


def axis(side: int, scale: int) -> np.ndarray:
    """Where the pixels' centres are, (side·scale,), in pixels of scale 1 from the first one's."""
    return (np.arange(side * scale) + 0.5) / scale - 0.5


def _cells(canvas: np.ndarray) -> np.ndarray:
    """A view (128, 128, s, s, 3) of a canvas (128·s, 128·s, 3) by the pixels of scale 1."""
    scale = len(canvas) // SIDE
    return canvas.reshape(SIDE, scale, SIDE, scale, 3).swapaxes(1, 2)


def _ramp(top: tuple[float, ...], bottom: tuple[float, ...], rows: int) -> np.ndarray:
    mix = np.linspace(0, 1, rows)[:, None]
    return np.asarray(top) * (1 - mix) + np.asarray(bottom) * mix


def _disc(canvas: np.ndarray, x: float, y: float, rx: float, ry: float, colour, mix: float) -> None:
    scale = len(canvas) // SIDE
    at = axis(SIDE, scale)
    reach = 1 + 1 / min(rx, ry)  # beyond it nothing is covered
    ends = [(c - reach * r, c + reach * r) for c, r in ((y, ry), (x, rx))]
    near = [slice(*np.searchsorted(at, each)) for each in ends]
    distance = np.hypot((at[near[1]] - x) / rx, ((at[near[0]] - y) / ry)[:, None])
    cover = np.clip((1 - distance) * min(rx, ry) * scale + 0.5, 0, 1)[..., None] * mix
    part = canvas[near[0], near[1]]
    part += (np.asarray(colour, np.float64) - part) * cover


def _stars(canvas: np.ndarray, rng: np.random.Generator, count: int, below: int) -> None:
    for x, y in zip(rng.integers(1, SIDE - 2, count), rng.integers(1, below, count), strict=True):
        _cells(canvas)[y : y + 2, x : x + 2] = (255, 250, 225)


def _towers(canvas: np.ndarray, rng: np.random.Generator, horizon: int) -> None:
    cells, x = _cells(canvas), int(rng.integers(-8, 0))
    while x < SIDE:
        width, height = int(rng.integers(14, 24)), int(rng.integers(24, 56))
        left, tone = max(x, 0), rng.uniform(0.75, 1.1)
        cells[horizon - height : horizon, left : x + width] = np.asarray((132, 142, 160)) * tone
        for row in range(horizon - height + 4, horizon - 4, 9):
            for column in range(left + 3, min(x + width - 5, SIDE - 4), 8):
                cells[row : row + 4, column : column + 4] = (246, 228, 150)
        x += width


def _trunks(canvas: np.ndarray, rng: np.random.Generator, horizon: int) -> None:
    for x in np.arange(rng.integers(2, 14), SIDE, 24) + rng.integers(-4, 5, 1):
        _cells(canvas)[: horizon + 6, x : x + 6] = (92, 66, 44)
        _disc(canvas, x + 3, rng.uniform(4, 18), 19, 16, (44, 112, 48), 1.0)


def _details(canvas: np.ndarray, kind: str, rng: np.random.Generator, horizon: int) -> None:
    """What tells one kind from another beside its colours."""
    x = rng.uniform(12, SIDE - 12)
    if kind in ("grass", "sea"):
        _disc(canvas, x, rng.uniform(12, 26), 22, 8, (255, 255, 255), 0.85)
    elif kind == "beach":
        _cells(canvas)[horizon - 10 : horizon] = (64, 160, 206)
        _disc(canvas, x, 16, 11, 11, (255, 232, 110), 1.0)
    elif kind == "night":
        _stars(canvas, rng, 24, horizon - 4)
        _disc(canvas, x, rng.uniform(14, 26), 10, 10, (250, 246, 214), 1.0)
    elif kind == "snow":
        for _ in range(26):
            x, y = rng.uniform(0, SIDE, 2)
            _disc(canvas, x, y, 2, 2, (255, 255, 255), 0.9)
    elif kind == "desert":
        _disc(canvas, x, horizon + 4, 56, 16, (222, 164, 84), 1.0)
        _disc(canvas, SIDE - x, 16, 11, 11, (255, 240, 170), 1.0)
    elif kind == "sunset":
        _disc(canvas, x, horizon - 4, 19, 19, (255, 214, 96), 1.0)
        scale = len(canvas) // SIDE
        rows = _ramp((96, 52, 66), (44, 24, 44), (SIDE - horizon) * scale)
        canvas[horizon * scale :] = rows[:, None]
    elif kind == "space":
        _stars(canvas, rng, 40, SIDE - 2)
        _disc(canvas, x, rng.uniform(12, 30), 12, 12, (176, 112, 190), 1.0)
    elif kind == "underwater":
        for _ in range(9):
            x, y = rng.uniform(6, SIDE - 6, 2)
            _disc(canvas, x, y, 4, 4, (176, 230, 244), 0.7)
        _cells(canvas)[SIDE - 14 :] = (196, 178, 120)
    elif kind == "city":
        _towers(canvas, rng, horizon)
    elif kind == "forest":
        _trunks(canvas, rng, horizon)


def background(kind: str, variant: int, scale: int = 1) -> np.ndarray:
    """One variant of a kind, uint8 (128·s, 128·s, 3), read-only, the same each time."""
    return _kept(kind, variant) if scale == 1 else _drawn(kind, variant, scale)


@lru_cache(maxsize=1024)
def _kept(kind: str, variant: int) -> np.ndarray:
    """All of scale 1 are kept; of larger ones that would be a gigabyte."""
    return _drawn(kind, variant, 1)


def _drawn(kind: str, variant: int, scale: int) -> np.ndarray:
    rng = np.random.default_rng([sum(map(ord, kind)), variant])
    if kind in _GROUNDS:
        sky, far, near, foot = _GROUNDS[kind]
        horizon = int(rng.integers(70, 86))
        above, below = horizon * scale, (SIDE - horizon) * scale
        rows = np.concatenate([_ramp(sky, far, above), _ramp(near, foot, below)])
        canvas = np.repeat(rows[:, None], SIDE * scale, 1)
        _details(canvas, kind, rng, horizon)
    else:
        base: tuple[float, ...] = _PALE[variant % len(_PALE)] if kind == "plain" else _PLAIN[kind]
        side = SIDE * scale
        canvas = np.repeat(_ramp(base, tuple(0.93 * c for c in base), side)[:, None], side, 1)
    canvas = np.clip(canvas * rng.uniform(0.95, 1.04) + rng.uniform(-3, 3, 3), 0, 255)
    drawn = canvas.astype(np.uint8)
    drawn.setflags(write=False)
    return drawn
