"""Which faces there are: from numbers in [0, 1) to a ``Face``, with odds that can be learned from.

Attributes are drawn independently of each other, with these exceptions: grey hair comes with age,
and so does thinning hair, to masculine faces; a beard, a moustache and make-up come to grown
people, with odds that go by presentation; children are bald less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limner.worlds._faces_face import RANGES, WORDS, Face, age_group

__all__ = ["DRAWS", "sample"]

DRAWS = 45  # numbers that one face takes

_AGES = (  # share of the faces, youngest, oldest
    (0.13, 0.0, 0.18),
    (0.32, 0.24, 0.46),
    (0.29, 0.53, 0.72),
    (0.26, 0.78, 1.0),
)
_EXPRESSIONS = ("smiling",) * 4 + ("neutral",) * 3 + ("sad",) * 2 + ("surprised",) * 2
_COLOURED = ("brown", "black", "blonde") * 2 + ("auburn", "red", "pink", "blue")
_GROWN = ("young", "middle-aged", "old")


class _Draws:
    """Uniform numbers, taken one by one."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self._left = iter(numbers)

    def number(self, least: float = 0.0, most: float = 1.0) -> float:
        """Three decimals are as many as a picture can show."""
        return round(least + (most - least) * next(self._left), 3)

    def whole(self, below: int) -> int:
        return int(next(self._left) * below)

    def chance(self, odds: float) -> bool:
        return next(self._left) < odds

    def one(self, among: Sequence[str]) -> str:
        return among[self.whole(len(among))]

    def worn(self, name: str, odds: float) -> str:
        """One of the attribute's values after "none" with these odds, else "none"."""
        worn, which = self.chance(odds), self.one(WORDS[name][1:])
        return which if worn else "none"


def _age(draws: _Draws) -> float:
    """An age well inside its group."""
    at, spans = draws.number(), list(_AGES)
    while len(spans) > 1 and at >= spans[0][0]:
        at -= spans.pop(0)[0]
    return draws.number(*spans[0][1:])


def _hair(draws: _Draws, group: str, presentation: str) -> tuple[str, str]:
    """Style and colour."""
    bare = 0.05 if group == "child" else 0.12
    thinning = {"middle-aged": 0.16, "old": 0.30}.get(group, 0.0) * (presentation == "masculine")
    style = draws.one([s for s in WORDS["hair"] if s not in ("bald", "balding")])
    roll = draws.number()
    style = "balding" if roll < thinning else "bald" if roll < thinning + bare else style
    grey = draws.chance({"middle-aged": 0.25, "old": 0.75}.get(group, 0.02))
    faded, colour = draws.one(("grey", "grey", "white")), draws.one(_COLOURED)
    return style, faded if grey else colour


def _mood(draws: _Draws) -> tuple[float, float]:
    """Smile and surprise, away from where one word gives way to the next."""
    mood, at, by = draws.one(_EXPRESSIONS), draws.number(), draws.number(-0.15, 0.25)
    smile = {"smiling": 0.5 + 0.5 * at, "sad": -0.5 - 0.5 * at}.get(mood, by)
    return round(smile, 3), round(0.65 + 0.35 * at, 3) if mood == "surprised" else 0.0


def sample(numbers: Sequence[float]) -> Face:
    """``DRAWS`` numbers in [0, 1) → a face."""
    draws = _Draws(numbers)
    presentation = ("feminine", "masculine", "androgynous")[min(int(draws.number() / 0.44), 2)]
    age = _age(draws)
    group = age_group(age)
    grown = group in _GROWN
    hair, hair_colour = _hair(draws, group, presentation)
    smile, surprise = _mood(draws)
    whiskers = 0.52 * (grown and presentation == "masculine")
    paints = grown * {"feminine": 0.52, "androgynous": 0.3, "masculine": 0.05}[presentation]
    free: dict[str, Any] = {
        name: draws.number(*RANGES[name])
        for name in ("width", "hair_length", "brows", "eye_size", "ear_size", "nose_size",
                     "yaw", "pitch", "roll")
    }  # fmt: skip
    free["roll"] = round(free["roll"] * abs(free["roll"]) / RANGES["roll"][1], 3)  # mostly upright
    plain = ("skin", "shape", "eye_colour", "hat_colour", "clothes", "clothes_colour", "background",
             "background_colour")  # fmt: skip
    free |= {name: draws.one(WORDS[name]) for name in plain}
    return Face(
        presentation=presentation,
        age=age,
        hair=hair,
        hair_colour=hair_colour,
        smile=smile,
        surprise=surprise,
        beard=draws.worn("beard", whiskers),
        moustache=draws.worn("moustache", whiskers),
        glasses=draws.worn("glasses", 0.38),
        lipstick=draws.worn("lipstick", paints),
        eye_shadow=draws.worn("eye_shadow", paints),
        blush=draws.worn("blush", 0.25),
        earrings=draws.worn("earrings", 0.35),
        hat=draws.worn("hat", 0.1),
        grain=draws.whole(65536),
        **free,
    )
