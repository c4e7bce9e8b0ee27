"""Things of the world ``scenes`` anywhere and of any size, up to four in a picture.

The world's own scenes follow its captions: a thing alone is near the middle, two are beside each
other. Whoever learns to put things where a box says needs to have seen them everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.worlds import _backgrounds
from limner.worlds import _vocabulary as words
from limner.worlds._captions import Scene, Thing, held_out
from limner.worlds._layout import extent
from limner.worlds.scenes import SIDE, Scenes, World, made_of

__all__ = ["Placed", "named", "placed", "scattered"]

_COUNTS = (0.25, 0.4, 0.25, 0.1)  # shares of pictures of one thing, two, three, four
# Sides of a sprite in shares of the picture's, from and to, by how many things there are.
_SIDES = {1: (0.3, 0.85), 2: (0.28, 0.6), 3: (0.26, 0.48), 4: (0.24, 0.42)}
_OUT = 0.04  # of the picture's side: how far a thing may reach beyond its edge
_OVERLAP = 0.12  # of the smaller of two boxes: how much they may share


@dataclass(frozen=True, eq=False)
class Placed:
    """A picture with what stands where."""

    picture: np.ndarray  # uint8 (128, 128, 3)
    caption: str
    background: str  # one of BACKGROUNDS
    things: tuple[Thing, ...]
    boxes: np.ndarray  # int (n, 4): visible x0 y0 x1 y1, the far ends exclusive
    masks: np.ndarray  # bool (n, 128, 128): visible pixels


def named(thing: Thing) -> str:
    """``a small red cube``, without its size: what a region says is in it."""
    noun = words.MATERIALS[thing.material][0].format(thing.noun) if thing.material else thing.noun
    return words.with_article(" ".join(each for each in (thing.colour, noun) if each))


def placed(world: World, indices: Sequence[int]) -> list[Placed]:
    """Pictures of these numbers: the even ones are the world's own, the odd ones scattered."""
    if world.scale != 1:
        raise BadInput(f"scattered scenes are of 128 pixels: leave scale={world.scale} away")
    own = world.draw([index for index in indices if index % 2 == 0], annotate=True)
    drawn = iter(range(len(own.scenes)))
    return [
        scattered(world, index) if index % 2 else _of_world(own, next(drawn), index)
        for index in indices
    ]


def _of_world(drawn: Scenes, row: int, index: int) -> Placed:
    scene, captions = drawn.scenes[row], drawn.captions[row]
    return Placed(
        drawn.pictures[row],
        captions[index // 2 % len(captions)],
        scene.background,
        scene.things * scene.count,
        drawn.boxes[row],
        drawn.masks[row],
    )


def scattered(world: World, index: int) -> Placed:
    """Picture ``index`` of this kind, the same for the same world and number."""
    rng = np.random.Generator(np.random.Philox(key=[world.seed, index], counter=[0, 0, 1, 0]))
    names = list(words.BACKGROUNDS)
    ground = "plain" if rng.random() < 0.2 else str(rng.choice(names[1:]))
    count = 1 + int(rng.choice(4, p=_COUNTS))
    things = _ours(world, ground, count, rng)
    sprites = [Image.fromarray(world.sprite(thing)) for thing in things]
    spots = _spots(sprites, rng)
    variant = int(rng.integers(_backgrounds.VARIANTS))
    canvas = Image.fromarray(_backgrounds.background(ground, variant))
    masks = np.zeros((count, SIDE, SIDE), bool)
    for row, (sprite, (left, top, side)) in enumerate(zip(sprites, spots, strict=True)):
        drawn = sprite.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        canvas.paste(drawn, (left, top), drawn)
        layer = Image.new("L", (SIDE, SIDE))
        layer.paste(drawn.getchannel("A"), (left, top))
        ink = np.asarray(layer) >= 128
        masks &= ~ink
        masks[row] = ink
    boxes = np.array([extent(mask) for mask in masks])
    caption = _caption(things, ground, rng)
    return Placed(np.asarray(canvas), caption, ground, tuple(things), boxes, masks)


def _ours(world: World, ground: str, count: int, rng: np.random.Generator) -> list[Thing]:
    """Things that make a content of the world's split."""
    while True:
        things = _things(world, ground, count, rng)
        content = Scene(tuple(things), "and" if count > 1 else None, 1, ground)
        if world.split == "all" or held_out(content) == (world.split == "held_out"):
            return things


def _things(world: World, ground: str, count: int, rng: np.random.Generator) -> list[Thing]:
    """Different ones, each of which can be seen in front of the background."""
    clash = words.BACKGROUNDS[ground][1]
    colours = [name for name in words.COLOURS if name not in clash]
    things: list[Thing] = []
    while len(things) < count:
        if world.glyphs and rng.random() < 0.66:
            thing = Thing(str(rng.choice(list(world.glyphs))))
        else:
            thing = Thing(str(rng.choice(words.SHAPES)), str(rng.choice(colours)))
        if rng.random() < 0.08:
            thing = made_of(thing, str(rng.choice(list(words.MATERIALS))))
        if thing not in things:
            things.append(thing)
    return things


def _spots(sprites: Sequence[Image.Image], rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(left, top, side) of each, hardly over each other: made smaller until they are not."""
    low, high = _SIDES[len(sprites)]
    spots: list[tuple[int, int, int]] = []
    taken: list[tuple[float, ...]] = []
    for sprite in sprites:
        side = rng.uniform(low, high)
        left, top, right, bottom = (edge / sprite.width for edge in _ink(sprite))
        while True:
            x = rng.uniform(-_OUT - side * left, 1 + _OUT - side * right)
            y = rng.uniform(-_OUT - side * top, 1 + _OUT - side * bottom)
            box = (x + side * left, y + side * top, x + side * right, y + side * bottom)
            if all(_shared(box, other) <= _OVERLAP for other in taken):
                break
            side = max(0.9 * low, 0.97 * side)
            if side == 0.9 * low and rng.random() < 0.02:
                break  # it does not fit anywhere: over another, then
        taken.append(box)
        spots.append((round(x * SIDE), round(y * SIDE), round(side * SIDE)))
    return spots


def _ink(sprite: Image.Image) -> tuple[int, int, int, int]:
    return sprite.getchannel("A").getbbox() or (0, 0, *sprite.size)


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """What two boxes share, of the smaller one's area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return max(0.0, width) * max(0.0, height) / min(areas)


def _caption(things: Sequence[Thing], ground: str, rng: np.random.Generator) -> str:
    """``a cat, a red cube and a rocket on the grass``, in any order."""
    *others, last = (named(things[i]) for i in rng.permutation(len(things)))
    said = f"{', '.join(others)} and {last}" if others else last
    return f"{said} {words.BACKGROUNDS[ground][0]}".strip()
