"""What a portrait is: ``Face``, and the words and ranges that its attributes may take."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from numbers import Integral, Real

from limner.errors import BadInput

__all__ = ["PARTS", "RANGES", "WORDS", "Face", "age_group", "expression"]

PARTS = (  # what a pixel shows; its number is its place here
    "background", "clothes", "skin", "hair", "brows", "eyes", "mouth", "beard", "glasses", "hat",
    "earrings",
)  # fmt: skip

WORDS = {  # attribute → its values; the first is what a face has when nothing is said
    "presentation": ("androgynous", "feminine", "masculine"),
    "skin": ("pale", "fair", "olive", "tan", "brown", "dark"),
    "shape": ("oval", "round", "square", "heart", "long"),
    "hair": (
        "short", "bald", "balding", "buzz", "quiff", "mohawk", "curly", "afro", "bob", "straight",
        "wavy", "ponytail", "bun", "braids",
    ),
    "hair_colour": (
        "brown", "black", "auburn", "red", "blonde", "grey", "white", "pink", "blue",
    ),
    "eye_colour": ("brown", "blue", "green", "grey"),
    "beard": ("none", "stubble", "goatee", "short", "long"),
    "moustache": ("none", "thin", "thick", "handlebar"),
    "glasses": ("none", "round", "square", "cat-eye", "sunglasses"),
    "lipstick": ("none", "red", "pink", "purple"),
    "eye_shadow": ("none", "blue", "green", "purple"),
    "blush": ("none", "blush"),
    "earrings": ("none", "studs", "hoops", "drops"),
    "hat": ("none", "cap", "beanie", "sun hat"),
    "hat_colour": ("red", "blue", "green", "yellow", "black"),
    "clothes": ("t-shirt", "shirt", "turtleneck", "jacket"),
    "clothes_colour": ("blue", "red", "green", "yellow", "purple", "black", "white"),
    "background": ("plain", "gradient", "room"),
    "background_colour": ("blue", "green", "pink", "yellow", "purple", "grey"),
}  # fmt: skip

RANGES = {  # attribute → (least, most)
    "age": (0.0, 1.0),  # child < .22 < young < .5 < middle-aged < .75 < old
    "width": (-1.0, 1.0),
    "hair_length": (0.0, 1.0),
    "brows": (-1.0, 1.0),  # thin … thick
    "eye_size": (-1.0, 1.0),
    "ear_size": (-1.0, 1.0),
    "nose_size": (-1.0, 1.0),
    "smile": (-1.0, 1.0),  # sad … beaming
    "surprise": (0.0, 1.0),
    "yaw": (-0.5, 0.5),  # radians; above 0 the face looks to the right of the picture
    "pitch": (-0.3, 0.3),  # radians; above 0 it looks up
    "roll": (-0.25, 0.25),  # radians; above 0 the head leans to the right of the picture
    "grain": (0, 65535),  # a whole number: which strands of hair, and which of the rooms
}


@dataclass(frozen=True)
class Face:
    """One portrait, entirely. ``replace(face, smile=1.0)`` is the same person, smiling.

    Every attribute is independent: the picture of two faces differs only where an attribute in
    which they differ is drawn.
    """

    presentation: str = "androgynous"
    age: float = 0.36
    skin: str = "fair"
    shape: str = "oval"
    width: float = 0.0
    hair: str = "short"
    hair_colour: str = "brown"
    hair_length: float = 0.5
    brows: float = 0.0
    eye_colour: str = "brown"
    eye_size: float = 0.0
    ear_size: float = 0.0
    nose_size: float = 0.0
    smile: float = 0.0
    surprise: float = 0.0
    beard: str = "none"
    moustache: str = "none"
    glasses: str = "none"
    lipstick: str = "none"
    eye_shadow: str = "none"
    blush: str = "none"
    earrings: str = "none"
    hat: str = "none"
    hat_colour: str = "red"
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    clothes: str = "t-shirt"
    clothes_colour: str = "blue"
    background: str = "plain"
    background_colour: str = "blue"
    grain: int = 0

    def __post_init__(self) -> None:
        for name, allowed in WORDS.items():
            value = getattr(self, name)
            if value not in allowed:
                raise BadInput(f"a face's {name} is one of {', '.join(allowed)}, not {value!r}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            number = float(value) if isinstance(value, Real) else nan
            if not least <= number <= most:
                raise BadInput(f"a face's {name} is from {least} to {most}, not {value!r}")
        if not isinstance(self.grain, Integral):
            raise BadInput(f"a face's grain is a whole number, not {self.grain!r}")


def age_group(age: float) -> str:
    """``child``, ``young``, ``middle-aged`` or ``old``."""
    limits = {"child": 0.22, "young": 0.5, "middle-aged": 0.75, "old": 2.0}
    return next(word for word, limit in limits.items() if age < limit)


def expression(face: Face) -> str:
    """``surprised``, ``smiling``, ``sad`` or ``neutral``."""
    if face.surprise > 0.5:
        return "surprised"
    return "smiling" if face.smile > 0.33 else "sad" if face.smile < -0.33 else "neutral"
