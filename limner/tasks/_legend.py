"""Semantic maps: pictures whose colours or numbers name what is where."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.errors import BadInput
from limner.picture import load
from limner.prompt import check
from limner.tasks._regions import Region
from limner.worlds import _vocabulary as words

__all__ = ["GROUNDS", "classes_of", "legend_of", "map_regions", "said_of", "usual_legend"]

GROUNDS = 100  # in the usual legend, from here on: backgrounds, in the world's order
_MOST = 32  # classes of a map
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SHOWN = 8  # classes that an error names

Legend = dict[int, str]
"""Phrases by number, or by colour: 256 + 0xRRGGBB, so that neither is taken for the other."""


@cache
def usual_legend() -> dict[int, str]:
    """The numbers of `limner world scenes`: its nouns from 1, its backgrounds from 101."""
    nouns = [*(noun.word for noun in words.glyph_nouns("core")), *words.SHAPES]
    things = {number: words.with_article(noun) for number, noun in enumerate(nouns, 1)}
    grounds = {GROUNDS + i: said for i, (said, _) in enumerate(words.BACKGROUNDS.values()) if said}
    return things | grounds


def legend_of(text: str | None) -> Legend:
    """ "1: a cat; 2: grass" or "#ff0000: a cat"; without it the usual one. Raises BadInput."""
    if text is None:
        return dict(usual_legend())
    legend: Legend = {}
    for part in filter(str.strip, text.split(";")):
        key, colon, phrase = (each.strip() for each in part.partition(":"))
        number = _key(key)
        if not colon or not phrase or number is None:
            raise BadInput(
                f"the legend's {part.strip()!r}: give a number from 0 to 255 or a colour, a colon "
                'and words, such as "1: a cat; 2: grass" or "#ff0000: a cat"'
            )
        if number in legend:
            raise BadInput(f"the legend names {key} twice: once is enough")
        legend[number] = check(phrase, "legend")
    if not legend:
        raise BadInput('the legend is empty: give one, such as "1: a cat; 2: grass"')
    if len({number > 255 for number in legend}) > 1:
        raise BadInput("the legend has numbers and colours: give either")
    return legend


def _key(text: str) -> int | None:
    if _COLOUR.fullmatch(text):
        return 256 + int(text[1:], 16)
    return int(text) if text.isdecimal() and int(text) <= 255 else None


def classes_of(path: str | Path, legend: Legend) -> np.ndarray:
    """A map's file → (h, w) int of the legend's keys; 0 is nothing in particular. Raises BadInput
    for a class that the legend does not know."""
    colours = any(number > 255 for number in legend)
    classes = _colours(path) if colours else _numbers(path)
    found = np.unique(classes)
    unknown = [int(each) for each in found if each not in legend and each not in (0, 256)]
    if unknown:
        kind = "colours" if colours else "numbers"
        raise BadInput(
            f"the map {str(path)!r} has the {kind} {_listed([_written(n) for n in unknown])}, "
            f"which the legend does not know: it knows "
            f"{_listed([f'{_written(n)} ({said})' for n, said in legend.items()])}; draw it "
            "without soft edges, or give --legend"
        )
    known = [number for number in found if number in legend]
    if not known:
        raise BadInput(f"the map {str(path)!r} names nothing: all of it is 0, or black")
    if len(known) > _MOST:
        raise BadInput(f"the map {str(path)!r} has {len(known)} classes: up to {_MOST} can be")
    return classes


def _written(number: int) -> str:
    return str(number) if number <= 255 else f"#{number - 256:06x}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" … ({len(names)} in all)" if len(names) > _SHOWN else "")


def _colours(path: str | Path) -> np.ndarray:
    pixels = load(path).uint8().astype(np.int64)
    return 256 + (pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2])


def _numbers(path: str | Path) -> np.ndarray:
    """A palette's indices, or grey values."""
    pixels = load(path).uint8()  # raises BadInput for whatever is no picture
    with Image.open(path) as image:
        if image.mode == "P":
            return np.asarray(image).astype(np.int64)
    if (pixels != pixels[..., :1]).any():
        raise BadInput(
            f"the map {str(path)!r} has colours, and the legend numbers: give grey or palette "
            'numbers, or name colours, such as --legend "#ff0000: a cat"'
        )
    return pixels[..., 0].astype(np.int64)


def map_regions(classes: np.ndarray, legend: Legend, size: tuple[int, int]) -> list[Region]:
    """Each class that is there as a region of latents of this size, (h, w)."""
    regions = []
    for number in np.unique(classes).tolist():
        if number in legend:
            cover = _cells(classes == number, size)
            regions.append(Region(legend[number], cover, True))
    return regions


def _cells(inside: np.ndarray, size: tuple[int, int]) -> Tensor:
    """How much of each cell is inside: bool (H, W) → (h, w)."""
    whole = Image.fromarray(inside.astype(np.uint8) * 255)
    return torch.from_numpy(
        np.asarray(whole.resize(size[::-1], Image.Resampling.BOX)).astype(np.float32) / 255
    )


def said_of(classes: np.ndarray, legend: Legend) -> str:
    """A prompt of what a map shows: "a cat and a tree on the grass"."""
    found = [legend[number] for number in np.unique(classes).tolist() if number in legend]
    grounds = {said for said, _ in words.BACKGROUNDS.values() if said}
    things = [each for each in found if each not in grounds]
    behind = [each for each in found if each in grounds][:1]
    *others, last = things or [""]
    said = f"{', '.join(others)} and {last}" if others else last
    return " ".join([said, *behind]).strip()
