"""Where the things of a scene stand: sprites of given ink → (left, top, side) in pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from limner.worlds._captions import Scene
from limner.worlds._vocabulary import SIZES

__all__ = ["Ink", "Place", "extent", "ink", "places"]

SIDE = 128


class Ink(NamedTuple):
    """The part of a square sprite that is not transparent, in fractions of its side."""

    left: float
    top: float
    right: float
    bottom: float


class Place(NamedTuple):
    """A square of ``side`` pixels whose corner is at (left, top)."""

    left: int
    top: int
    side: int


def ink(sprite: Image.Image) -> Ink:
    """Of an RGBA sprite."""
    left, top, right, bottom = sprite.getchannel("A").getbbox() or (0, 0, *sprite.size)
    return Ink(
        left / sprite.width, top / sprite.height, right / sprite.width, bottom / sprite.height
    )


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Corners of the pixels that are set, the far ones exclusive; all zero where none is."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _centred(x: float, y: float, side: float) -> Place:
    return Place(round(x * SIDE - side / 2), round(y * SIDE - side / 2), round(side))


def _single(scene: Scene, rng: np.random.Generator) -> list[Place]:
    side = SIZES[scene.things[0].size] * SIDE * rng.uniform(0.94, 1.08)
    free = max(0.0, 0.5 - side / SIDE / 2) * 0.7
    x, y = rng.uniform(-free, free, 2)
    return [_centred(0.5 + x, 0.52 + 0.7 * y, side)]


_SPOTS = {
    2: ((0.27, 0.55), (0.73, 0.55)),
    3: ((0.24, 0.72), (0.5, 0.28), (0.76, 0.72)),
    4: ((0.27, 0.28), (0.73, 0.28), (0.27, 0.75), (0.73, 0.75)),
}


def _several(scene: Scene, rng: np.random.Generator) -> list[Place]:
    side = {2: 0.42, 3: 0.40, 4: 0.38}[scene.count] * SIDE * rng.uniform(0.94, 1.04)
    shifts = rng.uniform(-0.025, 0.025, (scene.count, 2))
    spots = zip(_SPOTS[scene.count], shifts.tolist(), strict=True)
    return [_centred(x + dx, y + dy, side) for (x, y), (dx, dy) in spots]


def _apart(relation: str, rng: np.random.Generator) -> list[Place]:
    """Two things that do not touch: beside each other, or one over the other."""
    sides = rng.uniform(0.40, 0.46, 2) * SIDE
    across, along = rng.uniform(-0.05, 0.05, 2), rng.uniform(-0.02, 0.02, 2)
    first, second = (0.27, 0.73) if relation in ("left of", "above") else (0.73, 0.27)
    if relation in ("above", "below"):
        spots = [(0.5 + across[0], first + along[0]), (0.5 + across[1], second + along[1])]
    else:
        if relation in ("and", "next to") and rng.random() < 0.5:
            first, second = second, first
        spots = [(first + along[0], 0.56 + across[0]), (second + along[1], 0.56 + across[1])]
    return [_centred(x, y, side) for (x, y), side in zip(spots, sides, strict=True)]


# relation → (side of the first, side of the second, its centre, how far the first sinks into it)
_STACKS = {
    "on top of": (0.42, 0.46, (0.5, 0.74), 0.06),
    "riding": (0.46, 0.60, (0.5, 0.68), 0.34),
}


def _touching(relation: str, inks: list[Ink], rng: np.random.Generator) -> list[Place]:
    """Two things in contact; which one is nearer to the eye follows from the relation."""
    grow, shift = rng.uniform(0.96, 1.05), rng.uniform(-0.05, 0.05)
    if relation in _STACKS:
        upper, lower, (x, y), sink = _STACKS[relation]
        second = _centred(x + shift, y, lower * SIDE * grow)
        height = inks[1].bottom - inks[1].top
        seat = second.top + second.side * (inks[1].top + sink * height)
        side = upper * SIDE * grow
        top = max(seat - side * inks[0].bottom, -side * inks[0].top)
        left = second.left + (second.side - side) / 2 + rng.uniform(-3, 3)
        return [Place(round(left), round(top), round(side)), second]
    if relation == "wearing":
        first = _centred(0.5 + shift, 0.66, 0.60 * SIDE * grow)
        side = 0.38 * SIDE * grow
        seat = first.top + first.side * (inks[0].top + 0.16 * (inks[0].bottom - inks[0].top))
        left = first.left + first.side * (inks[0].left + inks[0].right) / 2 - side / 2
        top = max(seat - side * inks[1].bottom, -side * inks[1].top)
        return [first, Place(round(left), round(top), round(side))]
    first = _centred(0.42 + shift / 2, 0.48, 0.68 * SIDE * grow)  # holding, eating, using
    return [first, _centred(0.74 + shift / 2, 0.72, 0.38 * SIDE * grow)]


def places(scene: Scene, inks: list[Ink], rng: np.random.Generator) -> list[Place]:
    """A place for each object of the scene, in the order of ``scene.things`` (or of its copies)."""
    if scene.count > 1:
        return _several(scene, rng)
    if len(scene.things) == 1:
        return _single(scene, rng)
    relation = scene.relation or "and"
    if relation in ("on top of", "riding", "wearing", "holding", "eating", "using"):
        return _touching(relation, inks, rng)
    return _apart(relation, rng)
