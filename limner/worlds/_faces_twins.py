"""Groups of faces that differ in one attribute: what teaches a CLIP to see a smile or lipstick,
which little else in a caption depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from limner.worlds._faces_captions import facts
from limner.worlds._faces_face import Face, age_group

__all__ = ["apart", "twin"]

_SMALL = (  # what differs, as often as the others here; a mood, a pair of lips and an age are hard
    ("smile", "surprise"),
    ("smile", "surprise"),
    ("smile", "surprise"),
    ("lipstick",),
    ("lipstick",),
    ("age",),
    ("age",),
    ("beard",),
    ("beard",),
    ("glasses",),
    ("glasses",),
    ("moustache",),
    ("eye_shadow",),
    ("earrings",),
    ("hat",),
    ("hair",),
    ("hair_colour",),
    ("skin",),
    ("eye_colour",),
)
_TRIES = 60  # others to take an attribute from: a woman's beard is found on none


def twin(
    group: list[Face], others: Iterator[Face], which: float, ours: Callable[[Face], bool]
) -> Face:
    """One more face of a group: its first one with one attribute of some other face, of the same
    age and presentation so that odds that go by these stay as they are.

    Args:
        group: the faces so far.
        others: any faces of the world, without end.
        which: a number in [0, 1), the group's own: what its faces differ in.
        ours: whether a face may be drawn at all.

    Where none can be had (a bald head has no other colour of hair) another attribute is taken.
    """
    first, told = group[0], [facts(face) for face in group]
    place = int(which * len(_SMALL))
    while True:
        for _, other in zip(range(_TRIES), others):
            if not _alike(first, other):
                continue
            changed = replace(first, **{name: getattr(other, name) for name in _SMALL[place]})
            if facts(changed) not in told and ours(changed):
                return changed
        place = (place + 1) % len(_SMALL)


def apart(group: list[Face]) -> frozenset[str]:
    """What is told of some of the faces and not of all."""
    told = [facts(face) for face in group]
    return frozenset.union(*told) - frozenset.intersection(*told)


def _alike(face: Face, other: Face) -> bool:
    """Of one presentation, and both children or both grown."""
    children = {age_group(each.age) == "child" for each in (face, other)}
    return face.presentation == other.presentation and len(children) == 1
