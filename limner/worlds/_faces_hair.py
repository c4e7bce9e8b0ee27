"""Hair in its colours: strands, waves and curls, and the beard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from limner.worlds._faces_face import PARTS, Face
from limner.worlds._faces_head import Head
from limner.worlds._faces_ink import (
    SIDE,
    Canvas,
    Ink,
    blur,
    cover,
    curve,
    mix,
    outline,
    ramp,
    stroke,
    through,
)
from limner.worlds._faces_skin import Skin
from limner.worlds._faces_styles import STYLES

__all__ = ["COLOURS", "Hair"]

HAIR, BEARD = PARTS.index("hair"), PARTS.index("beard")
COLOURS = {  # the middle tone
    "brown": (104, 66, 42),
    "black": (46, 40, 44),
    "auburn": (140, 56, 36),
    "red": (206, 98, 42),
    "blonde": (230, 188, 112),
    "grey": (156, 157, 160),
    "white": (234, 232, 228),
    "pink": (234, 124, 170),
    "blue": (66, 116, 200),
}


@lru_cache(maxsize=1)
def _strands() -> np.ndarray:
    """Smooth noise along a line that closes on itself, (2048,) float32 about within ±1."""
    rng = np.random.default_rng(11)
    waves = rng.normal(size=(2, 2048))
    fine, coarse = (
        np.fft.irfft(np.fft.rfft(w) * np.exp(-((np.arange(1025) / cut) ** 2)), 2048)
        for w, cut in zip(waves, (330, 90), strict=True)
    )
    noise = fine / fine.std() + 0.8 * coarse / coarse.std()
    return np.clip(noise * 0.55, -1.2, 1.2).astype(np.float32)


@lru_cache(maxsize=1)
def _curls() -> np.ndarray:
    """Wound locks: bumps of noise lit from the upper left, (256, 256) float32 about within ±1."""
    rng = np.random.default_rng(5)
    away = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]) * 256

    def smooth(cut: float) -> np.ndarray:
        noise = np.fft.rfft2(rng.normal(size=(256, 256)))
        drawn = np.fft.irfft2(noise * np.exp(-((away / cut) ** 2)), (256, 256))
        return drawn / drawn.std()

    bumps = smooth(34)
    lit = np.roll(bumps, (-1, -1), (0, 1)) - np.roll(bumps, (1, 1), (0, 1))
    level = 0.62 * lit / lit.std() + 0.25 * bumps
    return np.clip(level, -1.3, 1.3).astype(np.float32)


def _combed(head: Head, grain: int, wave: float) -> np.ndarray:
    """Strands along the skull's meridians, and the ring of light on them: levels (128, 128)."""
    x, y = head.upright
    x = x + np.float32(9 * np.sin(head.yaw))
    fall = np.sqrt(np.clip(1 - (np.minimum(y, 0) * np.float32(1 / 49)) ** 2, 0.04, 1))
    u = x / (37 * fall)
    if wave:
        u = u + np.float32(wave) * np.sin(y * np.float32(0.27) + 3 * np.abs(u))
    strand = _strands()[(u * 84 + (grain % 1024 + 512)).astype(np.int32) & 2047]
    band = (y + 25 - 9 * u * u) * np.float32(1 / 6.5)
    shine = np.exp(-band * band)
    return strand * (0.09 + 0.08 * shine) + 0.26 * shine


def _curled(head: Head, grain: int) -> np.ndarray:
    """Another cut of the wound locks for each grain: levels (128, 128)."""
    y, x = grain % 128, grain // 128 % 128
    return 0.02 + 0.15 * _curls()[y : y + SIDE, x : x + SIDE]


_TEXTURES: dict[str, Callable[[Head, int], np.ndarray]] = {
    "strands": lambda head, grain: _combed(head, grain, 0.0),
    "waves": lambda head, grain: _combed(head, grain, 0.075),
    "curls": _curled,
}
_SHADOW = np.array((0.76, 0.66, 0.64))  # of hair on skin
_MOUSTACHES = {  # half its width, how far its tips fall, its thickness
    "thin": (10.2, 2.4, 2.1),
    "thick": (11.6, 3.2, 4.8),
    "handlebar": (14.0, -2.0, 3.6),
}


class Hair:
    """A face's hair: ``back`` is painted before neck and clothes, ``front`` after the head.

    ``below`` (128, 128) is what a hat leaves of the hair, or None.
    """

    def __init__(self, face: Face, head: Head, skin: Skin, below: np.ndarray | None) -> None:
        self.face, self.head, self._below = face, head, below
        self.middle = np.array(COLOURS[face.hair_colour], float)
        self.dark = self.middle * (0.42, 0.36, 0.40)
        if face.hair_colour == "white":
            self.dark = self.middle * 0.62
        light = 0.30 if face.hair_colour == "black" else 0.46
        self.pale = mix(self.middle, np.array((255.0, 240, 220)), light)
        self.table = ramp((self.dark, self.middle, self.pale), (0.08, 0.5, 1.0))
        self.cut = STYLES[face.hair](head, face)
        # the light of the head, and an even one on what hangs below it
        hanging = np.clip((head.upright[1] - 2) / 24, 0, 1)
        self._light = 0.12 + 0.5 * mix(skin.light, np.float32(0.66), hanging)
        self._level = self._light + _TEXTURES[self.cut.texture](head, face.grain)
        self._beard = mix(self._light, self._level, np.float32(0.5)) + np.float32(0.02)

    def _shape(self, outlines: list[np.ndarray]) -> Ink:
        ink = cover(*outlines)
        return ink if self._below is None else ink.within(self._below)

    def _colours(self, ink: Ink, more: float = 0.0) -> np.ndarray:
        return through(self.table, self._level[ink.box] + np.float32(more))

    def back(self, canvas: Canvas) -> None:
        """What hangs behind head and neck."""
        if self.cut.behind:
            ink = self._shape(self.cut.behind)
            canvas.paint(ink, self._colours(ink, -0.13), HAIR)

    def front(self, canvas: Canvas, head: np.ndarray) -> None:
        """What lies on the head (its coverage), and its shadow on the skin."""
        cut = self.cut
        if self.face.hair == "mohawk":  # shaven sides
            shaven = STYLES["buzz"](self.head, replace(self.face, hair_length=0.0))
            ink = self._shape(shaven.outer).without(cover(shaven.window).whole()).within(head)
            canvas.paint(ink.thin(0.42), self._colours(ink))
        if cut.outer:
            ink = self._shape(cut.outer)
            if len(cut.window):
                ink = ink.without(cover(cut.window).whole())
            shadow = np.zeros((SIDE, SIDE), np.float32)
            shadow[2:, 1:] = ink.whole()[:-2, :-1]
            canvas.tint(Ink(blur(shadow, 1.8) * head, (0, 0)).thin(cut.opacity), _SHADOW)
            canvas.paint(ink.thin(cut.opacity), self._colours(ink), HAIR)
        for k, lock in enumerate(cut.over):
            ink = self._shape([lock])
            canvas.paint(ink, self._colours(ink, 0.03 if k % 2 else -0.05), HAIR)
            edge = self._shape([stroke(np.concatenate([lock, lock[:1]]), 1.1, 1, 1)])
            canvas.paint(edge.thin(0.38), self.dark)

    def beard(self, canvas: Canvas, whole: np.ndarray) -> None:
        """On jaw and chin, around the lips; the mouth is painted after it."""
        face, head = self.face, self.head
        if face.beard == "none":
            return
        low, lips = head.chin, head.mouth
        if face.beard == "goatee":
            half = [(-9, lips - 1), (-10, lips + 5), (-9, low - 4), (-5, low + 1.5), (0, low + 3)]
            shape = outline(head.on(_both(half), 1.5))
            inner = _both([(-7, lips + 1), (-6, lips + 4.6), (0, lips + 5.2)])
            bare = np.concatenate([inner, [(14, lips - 9), (-14, lips - 9)]])
        else:
            shape = self._jaw({"stubble": 0.0, "short": 1.6, "long": 3.0}[face.beard])
            inner = _both([(-28.5, -5), (-26.5, 7), (-22, lips - 4.5), (-16, lips - 2),
                           (-12, lips + 0.5), (-9.5, lips + 4.4), (-5, lips + 6),
                           (0, lips + 5.6)])  # fmt: skip
            line = curve(inner, 4)
            line = head.past(line, np.clip((lips - 5 - line[:, 1]) / 8, 0, 1))
            bare = np.concatenate([line, [(60, -60), (-60, -60)]])
        ink = cover(shape).without(cover(head.on(bare, 1.5), soft=0.7).whole())
        if face.beard == "stubble":
            ink = ink.within(whole)
            canvas.paint(ink.thin(0.42), through(self.table, self._beard[ink.box]))
            canvas.mark(ink, BEARD)
        else:
            canvas.paint(ink, through(self.table, self._beard[ink.box]), BEARD)

    def _jaw(self, grow: float) -> np.ndarray:
        """The outline from ear to ear below the cheekbones, with the length of a long beard."""
        left, right = self.head.sides(grow, 5, 11, -30.0)
        drop = np.array([0, 0, 0, 0.35, 0.8, 1.0])[:, None] * (0, 9.0)
        if self.face.beard == "long":
            left, right = left + drop, right + drop
        return self.head.flat(curve(np.concatenate([left, right[-2::-1]])))

    def moustache(self, canvas: Canvas) -> None:
        """From under the nose to the sides."""
        face, head = self.face, self.head
        if face.moustache == "none":
            return
        y = (head.nose + head.mouth) / 2 + 0.6
        wide, fall, thick = _MOUSTACHES[face.moustache]
        half = np.array([(-0.2, y - 0.6), (4.5, y - 0.2), (0.78 * wide, y + 1.9), (wide, y + fall)])
        lines = [curve(head.on(half * (side, 1), 3.0)) for side in (-1, 1)]
        ink = cover(*(stroke(line, thick * head.size, 0.75, 0.12) for line in lines))
        canvas.paint(ink, through(self.table, self._light[ink.box]), BEARD)


def _both(half: Sequence[tuple[float, float]]) -> np.ndarray:
    """A line from its left half, which ends in the middle."""
    left = np.array(half, float)
    return np.concatenate([left, left[-2::-1] * (-1, 1)])
