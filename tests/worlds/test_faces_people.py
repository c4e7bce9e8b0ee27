from __future__ import annotations

from dataclasses import asdict

import pytest

from limner.worlds._faces_face import WORDS, age_group
from limner.worlds._faces_people import LASTING, lasting, person
from limner.worlds.faces import World, held_out

CHANGING = ("hair", "hair_colour", "smile", "yaw", "glasses", "clothes", "background", "age")


def test_what_stays_is_the_person_s_and_all_else_is_lent() -> None:
    world = World(3)
    seen = [[person(world, number, time) for time in range(4)] for number in range(12)]
    for number, times in enumerate(seen):
        own = world.face(number)
        for face in times:
            assert all(getattr(face, name) == getattr(own, name) for name in LASTING)
            assert age_group(face.age) == age_group(own.age)
        assert len({tuple(asdict(face).items()) for face in times}) == 4
    for name in CHANGING:
        assert any(len({getattr(face, name) for face in times}) > 1 for times in seen), name


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_everyone_stays_in_the_world_s_split(split: str) -> None:
    world = World(3, split=split)
    for number in range(10):
        assert held_out(person(world, number, 1)) == (split == "held_out")


def test_it_is_a_pure_function() -> None:
    assert person(World(3), 5, 2) == person(World(3), 5, 2) != person(World(4), 5, 2)


def test_what_stays_as_numbers_tells_people_apart_and_not_times() -> None:
    world = World(3)
    seen = [[lasting(person(world, number, time)) for time in range(2)] for number in range(20)]
    assert all(first == second for first, second in seen)
    assert len({tuple(first) for first, _ in seen}) == 20
    own = world.face(0)
    names = [(name, word) for name in LASTING for word in WORDS.get(name, [name])]
    found = dict(zip(names, seen[0][0], strict=True))
    for name in LASTING:
        if name in WORDS:
            assert [word for word in WORDS[name] if found[name, word]] == [getattr(own, name)]
        else:
            assert found[name, name] == getattr(own, name)
