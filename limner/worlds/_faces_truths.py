"""What is true of a face, as yes or no: the attributes that an edit in words can ask for."""

from __future__ import annotations

from collections.abc import Callable

from limner.worlds._faces_face import Face, age_group, expression

__all__ = ["TRUTHS", "truths"]

_PRESENTED = {"feminine": True, "masculine": False, "androgynous": None}
_BEARDS = {"none": False, "stubble": None, "goatee": True, "short": True, "long": True}
_COLOURS = ("blonde hair", "black hair", "grey hair", "lipstick")  # which a style may repaint


def _of_hair(told: Callable[[Face], bool | None]) -> Callable[[Face], bool | None]:
    """None under a hat, which hides most of it."""
    return lambda face: told(face) if face.hat == "none" else None


def _haired(*colours: str) -> Callable[[Face], bool | None]:
    return _of_hair(lambda face: face.hair != "bald" and face.hair_colour in colours)


# Each says None where the picture does not show it, or where the word could be used or not.
TRUTHS: dict[str, Callable[[Face], bool | None]] = {
    "smile": lambda face: expression(face) == "smiling",
    "sad": lambda face: expression(face) == "sad",
    "surprised": lambda face: expression(face) == "surprised",
    "glasses": lambda face: face.glasses != "none",
    "sunglasses": lambda face: face.glasses == "sunglasses",
    "beard": lambda face: _BEARDS[face.beard],
    "moustache": lambda face: face.moustache != "none",
    "hair": _of_hair(lambda face: None if face.hair == "balding" else face.hair != "bald"),
    "curly hair": _of_hair(lambda face: face.hair in ("curly", "afro")),
    "blonde hair": _haired("blonde"),
    "black hair": _haired("black"),
    "grey hair": _haired("grey", "white"),
    "hat": lambda face: face.hat != "none",
    "lipstick": lambda face: face.lipstick != "none",
    "old": lambda face: age_group(face.age) == "old",
    "child": lambda face: age_group(face.age) == "child",
    "feminine": lambda face: _PRESENTED[face.presentation],
}


def truths(face: Face, style: str | None = None) -> dict[str, bool | None]:
    """Each of TRUTHS, of a face painted in a style; None where it cannot be told."""
    told = {name: true(face) for name, true in TRUTHS.items()}
    return told | dict.fromkeys(_COLOURS) if style is not None else told
