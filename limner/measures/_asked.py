"""What portraits are asked to become: eight attributes in words, and faces that have them not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from limner.worlds._faces_truths import truths
from limner.worlds.faces import World

__all__ = ["ASKED", "SOURCE", "Ask", "Portrait", "without"]

SOURCE = "a person"  # what every text is told apart from, for the method direction


@dataclass(frozen=True)
class Ask:
    """An attribute of the world's truths, asked for in the words of the world's captions.

    of:         who is asked: what else must be true, or false, of a face that is to be edited
    entangled:  truths that what is asked for decides or may decide, so that whether they stayed is
                no question
    """

    text: str
    of: Mapping[str, bool] = field(default_factory=dict)
    entangled: tuple[str, ...] = ()


# One mouth has one expression, and one head one colour of hair; sunglasses are glasses, and a
# person "with glasses" may well wear sunglasses; a hat hides hair; nobody is old and a child, and
# age turns hair grey (three old heads of four in this world), from whatever colour it had.
ASKED: dict[str, Ask] = {
    "smile": Ask("a smiling person", entangled=("sad", "surprised")),
    "glasses": Ask("a person with glasses", entangled=("sunglasses",)),
    "sunglasses": Ask("a person with sunglasses", entangled=("glasses",)),
    # Beards grow on grown masculine faces alone, so that no generator has seen another.
    "beard": Ask("a person with a beard", of={"feminine": False, "child": False}),
    "hat": Ask(
        "a person wearing a hat",
        entangled=("hair", "curly hair", "blonde hair", "black hair", "grey hair"),
    ),
    "old": Ask("an old person", entangled=("child", "grey hair", "black hair", "blonde hair")),
    "blonde hair": Ask(
        "a person with blonde hair", of={"hair": True}, entangled=("black hair", "grey hair")
    ),
    "lipstick": Ask("a person with lipstick", of={"child": False}),  # no child wears any
}


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face of the world: its number there, uint8 (128, 128, 3), and what is true of it."""

    number: int
    picture: np.ndarray
    truths: dict[str, bool | None]

    def named(self, suffix: str) -> str:
        """A file's name."""
        return f"{self.number:06}{suffix}"


def without(world: World, asked: Sequence[str], count: int) -> dict[str, list[Portrait]]:
    """For each attribute of ASKED the first `count` faces that it can be asked of. They are the
    same ones for several attributes, as far as they can be."""
    chosen: dict[str, list[int]] = {name: [] for name in asked}
    true: dict[int, dict[str, bool | None]] = {}
    number = 0
    while any(len(some) < count for some in chosen.values()):
        told = truths(world.face(number))
        for name, some in chosen.items():
            wanted = {name: False, **ASKED[name].of}
            if len(some) < count and all(told[each] is value for each, value in wanted.items()):
                some.append(number)
                true[number] = told
        number += 1
    seen = {each: Portrait(each, world.draw([each]).pictures[0], true[each]) for each in true}
    return {name: [seen[each] for each in some] for name, some in chosen.items()}
