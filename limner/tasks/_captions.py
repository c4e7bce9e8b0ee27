"""The stages in which `describe` puts captions together, from coarse to fine, and their odds.

A stage takes all scenes so far, the likeliest first, and gives scenes that say more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from limner.worlds import _vocabulary as words
from limner.worlds.scenes import Scene, Thing

__all__ = ["STAGES", "Stage", "log_odds"]

BEAM = 8  # scenes that a stage goes on from

Stage = Callable[[Sequence[Scene]], Iterator[Scene]]


def _things(_: Sequence[Scene]) -> Iterator[Scene]:
    """Every noun by itself."""
    for noun in words.CORE:
        yield Scene((Thing(noun.word),))
    for shape in words.SHAPES:
        for colour in words.COLOURS:
            yield Scene((Thing(shape, colour),))


def _kinds(ranked: Sequence[Scene]) -> Iterator[Scene]:
    """Single things: their number, material and size."""
    for scene in _plain(ranked):
        thing = scene.things[0]
        yield from (replace(scene, count=count) for count in words.COUNTS.values())
        for material in words.MATERIALS:
            colour = thing.colour if material in ("crochet", "stained glass") else None
            yield replace(scene, things=(replace(thing, material=material, colour=colour),))
        for size in words.SIZES:
            yield replace(scene, things=(replace(thing, size=size),))


def _pairs(ranked: Sequence[Scene]) -> Iterator[Scene]:
    """A second thing beside a single one."""
    seconds = [scene.things[0] for scene in _things([])]
    for scene in _plain(ranked):
        for second in seconds:
            if second != scene.things[0]:
                yield replace(scene, things=(scene.things[0], second), relation="and")


def _relations(ranked: Sequence[Scene]) -> Iterator[Scene]:
    """How two things stand to each other, either way round."""
    for scene in islice((each for each in ranked if len(each.things) == 2), BEAM):
        for relation in words.RELATIONS:
            yield replace(scene, relation=relation)
            yield replace(scene, relation=relation, things=scene.things[::-1])


def _grounds(ranked: Sequence[Scene]) -> Iterator[Scene]:
    for scene in ranked[:BEAM]:
        yield from (replace(scene, background=ground) for ground in words.BACKGROUNDS)


def _styles(ranked: Sequence[Scene]) -> Iterator[Scene]:
    for scene in ranked[:BEAM]:
        yield from (replace(scene, style=style) for style in words.STYLES)


def _plain(ranked: Sequence[Scene]) -> Iterator[Scene]:
    """The likeliest scenes of one thing of which nothing more is said."""
    single = (
        scene
        for scene in ranked
        if len(scene.things) == scene.count == 1
        and not (scene.things[0].material or scene.things[0].size)
    )
    return islice(single, BEAM)


# The background is asked for before the second thing too: it is often the larger part of a picture,
# and what is in front of it is told better once it is known.
STAGES: tuple[Stage, ...] = (_things, _grounds, _kinds, _pairs, _relations, _grounds, _styles)


def log_odds(scene: Scene) -> float:
    """About the logarithm of how often the world draws just this scene (see `World`)."""
    glyphs, shapes = len(words.CORE), len(words.SHAPES) * len(words.COLOURS)
    odds = 0.2 if scene.background == "plain" else 0.8 / (len(words.BACKGROUNDS) - 1)
    odds *= 0.09 / len(words.STYLES) if scene.style else 0.91
    for thing in scene.things:
        odds *= 0.34 / shapes if thing.noun in words.SHAPES else 0.66 / glyphs
        odds *= 0.15 / len(words.MATERIALS) if thing.material else 1.0
        odds *= 0.15 / 2 if thing.size else 1.0
    if len(scene.things) == 2:
        odds *= 0.42 / len(words.RELATIONS)
    else:
        odds *= 0.12 / len(words.COUNTS) if scene.count > 1 else 0.46
    return math.log(odds)
