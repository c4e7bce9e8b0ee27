"""Twins among faces: one attribute differs, and it is told."""

from dataclasses import asdict

import numpy as np
import pytest

from limner.errors import BadInput
from limner.worlds._faces_captions import facts, held_out
from limner.worlds._faces_face import Face
from limner.worlds.faces import World

_TOGETHER = ({"smile", "surprise"},)  # one attribute of a face in two numbers


def _groups(count: int, size: int = 3) -> list[list[Face]]:
    world = World(seed=3, twins=size)
    return [[world.face(size * group + k) for k in range(size)] for group in range(count)]


def test_twins_differ_in_one_attribute_that_is_told_and_shown():
    seen = set()
    for group in _groups(150):
        first = asdict(group[0])
        for face in group[1:]:
            changed = {name for name, value in asdict(face).items() if value != first[name]}
            assert len(changed) == 1 or changed in _TOGETHER
            seen |= changed
        assert len({facts(face) for face in group}) == 3
        assert not any(held_out(face) for face in group)
    assert {"smile", "lipstick", "age", "beard", "glasses", "hat", "hair"} <= seen


def test_what_differs_is_told_in_every_caption_but_the_plainest():
    batch = World(seed=3, twins=3).draw(range(120))
    told = 0
    for first in range(0, 120, 3):
        faces = batch.faces[first : first + 3]
        common = frozenset.intersection(*map(facts, faces))
        for row, face in zip(range(first, first + 3), faces):
            own = {words for words in facts(face) - common if "smil" not in words}
            for caption in batch.captions[row][1:]:
                # A zombie's skin is green, and a girl is told young by her noun.
                told += all(words.removeprefix("a ") in caption for words in own)
    assert told == 3 * 120


def test_a_group_begins_as_the_face_that_it_would_be_alone():
    apart, together = World(seed=3), World(seed=3, twins=4)
    assert together.face(4) == apart.face(1)
    assert together.draw([4]).faces == [together.face(4)]
    pictures = together.draw([6, 1]).pictures
    assert np.array_equal(pictures[0], together.draw(range(8)).pictures[6])
    with pytest.raises(BadInput, match="twins 0: give 1"):
        World(twins=0)
