"""A scene as words: what is in it (``Thing``, ``Scene``) and the phrasings that describe it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from limner.worlds._vocabulary import (
    BACKGROUNDS,
    COUNTS,
    MATERIALS,
    RELATIONS,
    STYLES,
    plural,
    with_article,
)

__all__ = ["Scene", "Thing", "canonical", "held_out", "phrasings"]

_INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_OPENINGS = ("", "", "a picture of ", "a photo of ", "an image of ")


@dataclass(frozen=True)
class Thing:
    """One kind of object. ``colour`` is set for shapes, ``size`` is "small", "" or "large"."""

    noun: str
    colour: str | None = None
    material: str | None = None
    size: str = ""


@dataclass(frozen=True)
class Scene:
    """What a picture shows. ``count`` copies of the one thing, or two things in a relation."""

    things: tuple[Thing, ...]
    relation: str | None = None  # one of RELATIONS, "and", or None with a single kind of thing
    count: int = 1
    background: str = "plain"
    style: str | None = None


def _name(thing: Thing, count: int, wording: int) -> str:
    """``small red cube``, ``cats made of ice``: the thing without an article."""
    noun = thing.noun if count == 1 else plural(thing.noun)
    if thing.material:
        forms = MATERIALS[thing.material]
        noun = forms[wording % len(forms)].format(noun)
    return " ".join(word for word in (thing.size, thing.colour, noun) if word)


def _content(scene: Scene, wording: int, inverse: bool) -> str:
    """The things and their relation, without background and style."""
    if scene.count > 1:
        number = {n: word for word, n in COUNTS.items()}[scene.count]
        return f"{number} {_name(scene.things[0], scene.count, wording)}"
    names = [with_article(_name(thing, 1, wording)) for thing in scene.things]
    if len(names) == 1:
        return names[0]
    if scene.relation == "and":
        return " and ".join(reversed(names) if inverse else names)
    relation = scene.relation or ""
    if inverse and relation in _INVERSE:
        relation, names = _INVERSE[relation], names[::-1]
    forms = RELATIONS[relation]
    return f"{names[0]} {forms[wording % len(forms)]} {names[1]}"


def canonical(scene: Scene) -> str:
    """The plainest phrasing: content, then style around it, then background."""
    ground, style = BACKGROUNDS[scene.background][0], scene.style
    words = f"{_content(scene, 0, False)} {ground}".strip()
    return STYLES[style][0].format(words) if style else words


def phrasings(scene: Scene, rng: np.random.Generator, count: int = 3) -> list[str]:
    """The canonical caption first, then ``count`` others drawn at random."""
    captions = [canonical(scene)]
    ground = BACKGROUNDS[scene.background][0]
    for _ in range(count):
        wording, opening, order, inverse = rng.integers(0, 60, 4).tolist()
        words = _content(scene, wording, inverse % 3 == 0)
        if not scene.style:
            words = _OPENINGS[opening % len(_OPENINGS)] + words
        if ground:
            words = (
                f"{ground}, {words}" if order % 4 == 0 and not scene.style else f"{words} {ground}"
            )
        if scene.style:
            forms = STYLES[scene.style]
            words = forms[opening % len(forms)].format(words)
        captions.append(words)
    return captions


def held_out(scene: Scene) -> bool:
    """Whether the scene's content is kept from training: one content in ten.

    The content of two things or of several is what they are and how they stand, in front of any
    background; that of a single thing includes its background and style, or no noun would be left.
    """
    things = ";".join(f"{t.size}|{t.colour}|{t.material}|{t.noun}" for t in scene.things)
    key = f"{things}/{scene.relation}/{scene.count}"
    if len(scene.things) == scene.count == 1:
        key += f"/{scene.background}/{scene.style}"
    return hashlib.sha256(key.encode()).digest()[0] % 10 == 0
