"""The stages in which `describe` puts captions together, from coarse to fine.

A stage takes the best scenes so far and gives scenes that say more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from limner.worlds import _vocabulary as words
from limner.worlds.scenes import Scene, Thing

__all__ = ["BEAM", "STAGES", "Stage"]

BEAM = 8  # scenes that a stage goes on from

Stage = Callable[[Sequence[Scene]], Iterator[Scene]]


def _things(_: Sequence[Scene]) -> Iterator[Scene]:
    """Every noun by itself."""
    for noun in words.glyph_nouns("core"):
        yield Scene((Thing(noun.word),))
    for shape in words.SHAPES:
        for colour in words.COLOURS:
            yield Scene((Thing(shape, colour),))


def _kinds(beam: Sequence[Scene]) -> Iterator[Scene]:
    """The single things: their number, material and size."""
    for scene in beam:
        thing = scene.things[0]
        yield from (replace(scene, count=count) for count in words.COUNTS.values())
        for material in words.MATERIALS:
            colour = thing.colour if material in ("crochet", "stained glass") else None
            yield replace(scene, things=(replace(thing, material=material, colour=colour),))
        for size in words.SIZES:
            yield replace(scene, things=(replace(thing, size=size),))


def _pairs(beam: Sequence[Scene]) -> Iterator[Scene]:
    """A second thing beside the single ones."""
    seconds = [scene.things[0] for scene in _things([])]
    for scene in beam:
        if len(scene.things) == 1 and scene.count == 1 and not scene.things[0].material:
            first = replace(scene.things[0], size="")
            for second in seconds:
                if second != first:
                    yield replace(scene, things=(first, second), relation="and")


def _relations(beam: Sequence[Scene]) -> Iterator[Scene]:
    """How two things stand to each other, either way round."""
    for scene in beam:
        if len(scene.things) == 2:
            for relation in words.RELATIONS:
                yield replace(scene, relation=relation)
                yield replace(scene, relation=relation, things=scene.things[::-1])


def _grounds(beam: Sequence[Scene]) -> Iterator[Scene]:
    for scene in beam:
        yield from (replace(scene, background=ground) for ground in words.BACKGROUNDS)


def _styles(beam: Sequence[Scene]) -> Iterator[Scene]:
    for scene in beam:
        yield from (replace(scene, style=style) for style in words.STYLES)


# The background is asked for before the second thing too: it is often the larger part of a picture,
# and what is in front of it is told better once it is known.
STAGES: tuple[Stage, ...] = (_things, _grounds, _kinds, _pairs, _relations, _grounds, _styles)
