"""A face as words: the phrasings that describe it, and nothing that is not drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from limner.worlds._faces_face import WORDS, Face, age_group, expression
from limner.worlds._vocabulary import with_article

__all__ = ["CHOICES", "canonical", "facts", "held_out", "phrasings"]

CHOICES = 24  # numbers that one phrasing takes

_NOUNS = {
    "feminine": ("girl", "woman"),
    "masculine": ("boy", "man"),
    "androgynous": ("child", "person"),
}
_HAIR = {  # style → how it is told, and what a hat leaves to tell
    "bald": ("a bald head", ""),
    "balding": ("thinning {} hair", "{} hair"),
    "buzz": ("a {} buzz cut", "{} hair"),
    "short": ("short {} hair", "short {} hair"),
    "quiff": ("a {} quiff", "{} hair"),
    "mohawk": ("a {} mohawk", ""),
    "curly": ("curly {} hair", "{} hair"),
    "afro": ("a {} afro", "{} hair"),
    "bob": ("a {} bob", "a {} bob"),
    "straight": ("long straight {} hair", "long straight {} hair"),
    "wavy": ("long wavy {} hair", "long wavy {} hair"),
    "ponytail": ("{} hair in a ponytail", "{} hair in a ponytail"),
    "bun": ("{} hair in a bun", "{} hair"),
    "braids": ("braided {} hair", "braided {} hair"),
}
_BEARDS = {
    "stubble": "stubble",
    "goatee": "a goatee",
    "short": "a short beard",
    "long": "a long beard",
}
_EARRINGS = {"studs": "stud earrings", "hoops": "hoop earrings", "drops": "drop earrings"}
_SHAPES = {"heart": "a heart-shaped face"}
_EARS_HIDDEN = ("afro", "bob", "straight", "wavy")
_MOODS = {"sad": "looking sad", "surprised": "looking surprised", "smiling": "smiling"}
_OPENINGS = {  # style → what stands before the person; where that is nothing, the style comes last
    "pencil sketch": ("a pencil sketch of ", "a sketch of ", ""),
    "watercolor": ("a watercolor of ", "a watercolor portrait of ", ""),
    "pixel art": ("pixel art of ", "a pixel art portrait of ", ""),
}
_COARSE = ("eyes", "eyebrows", "earrings", "ears", "nose")  # smaller than what pixel art shows
_HUES = {
    hue
    for name, hues in WORDS.items()
    if name.endswith("colour") or name in ("skin", "lipstick", "eye_shadow")
    for hue in hues
}


def _noun(face: Face) -> str:
    """``young woman``; a child is not told to be young."""
    group = age_group(face.age)
    child, grown = _NOUNS[face.presentation]
    return child if group == "child" else f"{group} {grown}"


def _hair(face: Face) -> str:
    """``short grey hair``; empty where nothing of it is seen."""
    words = _HAIR[face.hair][face.hat != "none"].format(face.hair_colour)
    return with_article(words.removeprefix("a ")) if words.startswith("a ") else words


def _first(face: Face) -> Iterator[str]:
    """What every caption should tell if it is there."""
    if hair := _hair(face):
        yield hair
    if face.beard != "none":
        yield _BEARDS[face.beard]
    if face.moustache != "none":
        yield f"a {face.moustache} moustache"
    if face.glasses != "none":
        yield face.glasses if face.glasses == "sunglasses" else f"{face.glasses} glasses"


def _more(face: Face) -> Iterator[str]:
    """What a caption may tell besides."""
    yield f"{face.skin} skin"
    yield _SHAPES.get(face.shape, with_article(f"{face.shape} face"))
    if face.glasses != "sunglasses":
        size = "big " if face.eye_size > 0.4 else "small " if face.eye_size < -0.4 else ""
        yield f"{size}{face.eye_colour} eyes"
        if face.eye_shadow != "none":
            yield f"{face.eye_shadow} eye shadow"
    if face.lipstick != "none":
        yield f"{face.lipstick} lipstick"
    if face.blush != "none":
        yield "blush"
    if face.earrings != "none":
        yield _EARRINGS[face.earrings]
    if abs(face.brows) > 0.5:
        yield "thick eyebrows" if face.brows > 0 else "thin eyebrows"
    if abs(face.ear_size) > 0.5 and face.hair not in _EARS_HIDDEN:
        yield "big ears" if face.ear_size > 0 else "small ears"
    if abs(face.nose_size) > 0.5:
        yield "a big nose" if face.nose_size > 0 else "a small nose"


def _gaze(face: Face) -> Iterator[str]:
    """Where the head is turned; left and right are the picture's."""
    if abs(face.yaw) > 0.2:
        yield "looking to the right" if face.yaw > 0 else "looking to the left"
    if abs(face.pitch) > 0.15:
        yield "looking up" if face.pitch > 0 else "looking down"
    if abs(face.roll) > 0.1:
        yield "with the head tilted to the " + ("right" if face.roll > 0 else "left")


def _place(face: Face) -> str:
    colour = face.background_colour
    where = {"plain": "in front of a {} wall", "gradient": "in front of a glowing {} wall"}
    return where.get(face.background, "in a {} room").format(colour)


def _listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _worn(face: Face) -> str:
    return "" if face.hat == "none" else with_article(f"{face.hat_colour} {face.hat}")


def _in_style(words: str, style: str | None) -> str:
    """What of a phrase can be seen in a style: all, some or nothing of it."""
    if style == "zombie" and words.endswith(" skin"):
        return "green skin"
    if style == "pixel art" and words.endswith(_COARSE):
        return ""
    if style != "pencil sketch":
        return words
    grey = " ".join(word for word in words.split() if word not in _HUES)
    if grey in ("skin", "hair", "eyes"):
        return ""
    article, _, rest = grey.partition(" ")
    return with_article(rest) if article in ("a", "an") else grey


def _seen(told: Iterable[str], style: str | None) -> list[str]:
    return [seen for words in told if (seen := _in_style(words, style))]


def _person(face: Face, style: str | None) -> str:
    """``young woman``, ``young zombie woman``."""
    *group, noun = _noun(face).split()
    return " ".join([*group, "zombie", noun] if style == "zombie" else [*group, noun])


def canonical(face: Face, style: str | None = None) -> str:
    """The plainest phrasing: style, who it is, hair, beard and glasses, hat, mood."""
    words = _OPENINGS.get(style or "", ("a portrait of ",))[0] + with_article(_person(face, style))
    if told := _seen(_first(face), style):
        words += f" with {_listed(told)}"
    if face.hat != "none":
        words += f" wearing {_in_style(_worn(face), style)}"
    after = [_MOODS.get(expression(face), ""), "at night" if style == "night" else ""]
    return ", ".join(filter(None, [words, *after]))


def facts(face: Face) -> frozenset[str]:
    """All that captions may tell of a face itself, mood and age among them."""
    told = (_noun(face), _worn(face), _MOODS.get(expression(face), ""))
    return frozenset(filter(None, [*_first(face), *_more(face), *told]))


def _phrasing(
    face: Face, choices: Sequence[float], style: str | None, turn: float, always: frozenset[str]
) -> str:
    """One other way to say it, chosen by ``CHOICES`` numbers in [0, 1), and one for the style."""
    left = iter(choices)
    told = [words for words in _first(face) if next(left) < 0.85 or words in always]
    told += [words for words in _more(face) if next(left) < 0.22 or words in always]
    form, order, dressed, placed, turned = (next(left) for _ in range(5))
    if order < 0.3:
        told = told[::-1]
    worn = [_worn(face)] if face.hat != "none" else []
    if dressed < 0.3:
        worn.append(with_article(f"{face.clothes_colour} {face.clothes}"))
    mood = _MOODS.get(expression(face), "with a neutral expression")
    after = [mood] if mood != "with a neutral expression" or turned < 0.3 else []
    gaze = list(_gaze(face)) if turned < 0.4 else []
    place = [_place(face)] if placed < 0.4 else []
    told, worn, place = (_seen(each, style) for each in (told, worn, place))
    noun = _person(face, style)
    if form < 0.2:  # a list of what is seen
        return ", ".join([noun, *told, *worn, *after, *gaze, *place, *_last(style)])
    if form < 0.4 and mood == "smiling":
        noun, after = f"smiling {noun}", []
    opening = "a portrait of " if form < 0.6 else "a drawing of " if form < 0.7 else ""
    if style in _OPENINGS:
        opening = _OPENINGS[style][int(turn * len(_OPENINGS[style]))]
    elif style == "zombie" and turn < 0.3:
        noun = "smiling zombie" if noun.startswith("smiling") else "zombie"
    words = opening + with_article(noun)
    if told:
        words += f" with {_listed(told)}"
    if worn:
        words += f" wearing {_listed(worn)}"
    last = [] if style in _OPENINGS and opening else _last(style)
    return ", ".join([words, *after, *gaze, *place, *last])


def _last(style: str | None) -> list[str]:
    """A style's name where it ends a caption; a zombie was named at the beginning."""
    return [] if style in (None, "zombie") else ["at night" if style == "night" else style]


def phrasings(
    face: Face,
    choices: Sequence[Sequence[float]],
    style: str | None = None,
    turns: Sequence[float] | None = None,
    always: frozenset[str] = frozenset(),
) -> list[str]:
    """The canonical caption first, then one for each row of ``CHOICES`` numbers in [0, 1), and each
    of ``turns``, in [0, 1) too, which choose how the style is named. Of the ``facts`` those of
    ``always`` are told in all but the canonical one."""
    turns = [0.0] * len(choices) if turns is None else turns
    rows = zip(choices, turns, strict=True)
    others = (_phrasing(face, row, style, turn, always) for row, turn in rows)
    return [canonical(face, style), *others]


def held_out(face: Face) -> bool:
    """Whether the face's combination of attributes is kept from training: one in ten.

    What counts is told in the canonical caption: who it is, the hair, whether there are glasses,
    and the mood. So no canonical caption is shared between what is trained on and what is not,
    but where a pencil sketch hides the hair's colour.
    """
    told = (_noun(face), _hair(face), str(face.glasses != "none"), expression(face))
    return hashlib.sha256("|".join(told).encode()).digest()[0] % 10 == 0
