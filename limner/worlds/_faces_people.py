"""One person many times: what stays with people, and what does not.

What stays: skin, the head's shape and width, eyes, brows, nose, ears, and how the face presents
itself. What does not: expression, pose, what is put on (glasses, hat, make-up, earrings, clothes),
the place; and hair, beard and moustache, which a barber changes; and age, within its group. So do
the photographs that people are told apart by: ArcFace (Deng et al. 2019) is trained on years of
everybody's, bearded and shaven, blonde and grey. A judge of identity that held on to hair and
beard would stand in the way of "with a beard" and "with blonde hair", which leave a person who he
is; whether hair that nobody asked about stayed is a question for attributes.
"""

from __future__ import annotations

from dataclasses import replace

from limner.worlds._faces_face import WORDS, Face, age_group
from limner.worlds.faces import World

__all__ = ["LASTING", "lasting", "person"]

LASTING = (
    "presentation", "skin", "shape", "width", "brows", "eye_colour", "eye_size", "ear_size",
    "nose_size",
)  # fmt: skip
_OTHERS, _TRIES = 1 << 41, 1 << 10  # faces from here on, so many in a row, lend what does not stay


def person(world: World, number: int, time: int) -> Face:
    """Person `number` (from 0) of a world, as seen at a `time` (from 0, below 2^10).

    What does not stay is that of another of the world's faces, of the same age group and
    presentation, so that beards come to those who have them. It lies in the world's split, since
    that is told by the group, the presentation, and what is lent.
    """
    own = world.face(number)
    index = _OTHERS + (number * (1 << 10) + time) * _TRIES
    while True:
        other = world.face(index)
        if _kind(other) == _kind(own):
            return replace(other, **{name: getattr(own, name) for name in LASTING})
        index += 1


def lasting(face: Face) -> list[float]:
    """What stays, in numbers: 1 for the word that is true and 0 for the others, or the number."""
    told: list[float] = []
    for name in LASTING:
        value = getattr(face, name)
        told += [float(value == word) for word in WORDS[name]] if name in WORDS else [value]
    return told


def _kind(face: Face) -> tuple[str, str]:
    return age_group(face.age), face.presentation
