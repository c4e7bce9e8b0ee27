"""Attributes of a face: for each, the same person without it and with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from limner.worlds.faces import Face

__all__ = ["ATTRIBUTES", "Attribute"]


@dataclass(frozen=True)
class Attribute:
    """What it says, and a person's two faces: (without, with)."""

    meaning: str
    pair: Callable[[Face], tuple[Face, Face]]


def _smile(face: Face) -> tuple[Face, Face]:
    calm = replace(face, surprise=0.0, smile=0.0)
    return calm, replace(calm, smile=0.9)


def _glasses(face: Face) -> tuple[Face, Face]:
    return replace(face, glasses="none"), replace(face, glasses="round")


def _beard(face: Face) -> tuple[Face, Face]:
    grown = replace(face, presentation="masculine", age=max(face.age, 0.3))
    return replace(grown, beard="none"), replace(grown, beard="short")


def _age(face: Face) -> tuple[Face, Face]:
    return replace(face, age=0.3), replace(face, age=0.95)


def _hair(face: Face) -> tuple[Face, Face]:
    bare = replace(face, hat="none", hair="bald")
    return bare, replace(bare, hair="short" if face.hair in ("bald", "balding") else face.hair)


ATTRIBUTES = {
    "smile": Attribute("a broad smile, from a calm mouth", _smile),
    "glasses": Attribute("round glasses, from none", _glasses),
    "beard": Attribute("a short beard, from a shaven chin", _beard),
    "age": Attribute("an old face, from a young one", _age),
    "hair": Attribute("a head of hair, from a bald one", _hair),
}
