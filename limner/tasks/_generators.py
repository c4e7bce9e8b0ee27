"""How each generator is made for a search, and what it usually paints with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from PIL import ImageColor
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.generators._cells import SHAPES
from limner.generators.biggan import biggan
from limner.generators.fourier import Fourier
from limner.generators.grid import Grid
from limner.generators.latent import latent
from limner.generators.pixels import Pixels
from limner.generators.prior_network import PriorNetwork
from limner.generators.strokes import Strokes
from limner.generators.stylegan import stylegan
from limner.generators.vqgan import vqgan
from limner.judges._views import Camera
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.models.biggan import BigGAN, biggan_side, open_biggan
from limner.models.stylegan import StyleGAN, open_stylegan, stylegan_side
from limner.models.vqgan import Vqgan, open_vqgan

__all__ = ["GENERATORS", "Usual", "Wanted", "begun_at", "colours", "usual", "usual_grid"]

Colours = list[tuple[float, float, float]]


@dataclass(frozen=True)
class Wanted:
    """What a generator is made from; each takes what it knows."""

    size: tuple[int, int]  # width, height in pixels
    grid: str  # "40x40 hexagon"
    palette: Colours | None
    strokes: int
    model: TextToImage | Vqgan | BigGAN | StyleGAN | None


@dataclass(frozen=True)
class Usual:
    """A generator's maker and its usual settings, all of which can be said otherwise.

    scored:     its judges where every network is limner's own: the judge score beside the others
    bounds:     between which `evolve` looks for every number of a latent; None: it is too long,
                or its parts are too different, to be bred
    opens:      opens the model whose networks it paints with; None: it has none
    side:       pixels of a side of the only pictures that a model paints; None: it paints any
    """

    make: Callable[[Wanted], Generator]
    steps: int
    views: int = 16
    size: int = 128
    judges: str = "clip"
    scored: str = "clip,score:2"
    bounds: tuple[float, float] | None = (0.0, 1.0)
    camera: Camera = field(default_factory=Camera)
    opens: Callable[[str], TextToImage | Vqgan | BigGAN | StyleGAN] | None = None
    side: Callable[[str], int] | None = None


@runtime_checkable
class _Inverts(Protocol):
    """A generator that can also work from a picture."""

    def invert(self, pictures: Tensor) -> Latent: ...


def _grid(wanted: Wanted) -> Generator:
    cells, shape = _cells(wanted.grid)
    return Grid(wanted.size, cells, shape, wanted.palette)


def _latent(wanted: Wanted) -> Generator:
    assert isinstance(wanted.model, TextToImage)  # `opens` gave it
    return latent(wanted.model, wanted.size)


def _vqgan(wanted: Wanted, kind: str) -> Generator:
    assert isinstance(wanted.model, Vqgan)
    return vqgan(wanted.model, wanted.size, kind)


def _biggan(kind: str) -> Usual:
    """The sizes are its model's, which are 64 pixels for limner's own."""

    def made(wanted: Wanted) -> Generator:
        assert isinstance(wanted.model, BigGAN)
        return biggan(wanted.model, wanted.size, kind)

    return Usual(
        made, steps=200, size=64, scored="clip", bounds=None, opens=open_biggan, side=biggan_side
    )


def _stylegan(kind: str, bounds: tuple[float, float] | None = None) -> Usual:
    """The sizes are its model's, which are 64 pixels for limner's own."""

    def made(wanted: Wanted) -> Generator:
        assert isinstance(wanted.model, StyleGAN)
        return stylegan(wanted.model, wanted.size, kind)

    return Usual(
        made,
        steps=200,
        size=64,
        scored="clip",
        bounds=bounds,
        opens=open_stylegan,
        side=stylegan_side,
    )


# CLIPDraw's views (Frans et al. 2021): 70% to 90% of the picture, tilted, nothing else. Here a side
# is √u of the way from CLIP's to the picture's: 83% on average at twice CLIP's side.
_CLIPDRAW = Camera(0.5, degrees=0, shift=0, perspective=0.5, flip=0, jitter=0, grain=0, chance=1)

# Where nothing else holds neighbours together, score's way through the encoder leaves a chequered
# pattern, which this takes away; smoother than for CLIP alone, since shapes come from elsewhere.
_SMOOTHED = "clip,smooth:3,score:2"

# By the name of the generator, or NAME=KIND where there are kinds of it.
GENERATORS = {
    "biggan": _biggan("sigmoid"),
    "biggan=softmax": _biggan("softmax"),
    "fourier": Usual(
        lambda wanted: Fourier(wanted.size),
        steps=200,
        judges="clip,smooth:0.3",
        scored=_SMOOTHED,
        bounds=(-2.0, 2.0),
    ),
    "grid": Usual(_grid, steps=200, size=160, judges="clip,smooth:0.2", scored=_SMOOTHED),
    "latent": Usual(_latent, steps=150, bounds=(-2.0, 2.0), opens=open_model),
    "pixels": Usual(
        lambda wanted: Pixels(wanted.size), steps=200, judges="clip,smooth:0.5", scored=_SMOOTHED
    ),
    "prior_network": Usual(lambda wanted: PriorNetwork(wanted.size), steps=250, bounds=None),
    "strokes": Usual(
        lambda wanted: Strokes(wanted.size, wanted.strokes),
        steps=250,
        views=8,
        bounds=None,
        camera=_CLIPDRAW,
    ),
    "stylegan": _stylegan("w+"),
    "stylegan=w": _stylegan("w"),
    "stylegan=z": _stylegan("z", bounds=(-2.0, 2.0)),  # CLIP-GLaSS's (Galatolo et al. 2021)
    "stylegan=styles": _stylegan("styles"),
    "vqgan": Usual(lambda wanted: _vqgan(wanted, "z"), steps=200, bounds=None, opens=open_vqgan),
    "vqgan=logits": Usual(
        lambda wanted: _vqgan(wanted, "logits"), steps=200, bounds=(-2.0, 2.0), opens=open_vqgan
    ),
}


def usual(name: str) -> Usual:
    """A generator's. BadInput lists those there are."""
    if name not in GENERATORS:
        raise BadInput(f"no generator {name!r}: choose one of {', '.join(GENERATORS)}")
    return GENERATORS[name]


def begun_at(generator: Generator, name: str, picture: Tensor) -> Latent:
    """The latent of a picture (1, 3, h, w), one row. BadInput where there is no way back."""
    if not isinstance(generator, _Inverts):
        raise BadInput(f"{name} cannot start from a picture: choose another generator, or no start")
    return generator.invert(picture)


def colours(palette: str) -> Colours:
    """ "red, #ffcc00, rgb(0%,50%,0%)" → each colour's (r, g, b) in [0, 1]. Raises BadInput."""
    names = [each.strip() for each in re.split(r",(?![^(]*\))", palette) if each.strip()]
    if not names:
        raise BadInput('the palette has no colour: give some, such as "black, white, #ff8800"')
    try:
        codes = [ImageColor.getrgb(name)[:3] for name in names]
    except ValueError as error:
        raise BadInput(f"the palette: {error}; give names or codes, such as #ff8800") from None
    return [(red / 255, green / 255, blue / 255) for red, green, blue in codes]


def usual_grid(size: tuple[int, int]) -> str:
    """Square cells, 40 along the shorter side as PixelDraw has them, or as many as pixels."""
    short = min(size)
    across, down = (round(min(40, short) * side / short) for side in size)
    return f"{across}x{down}"


def _cells(grid: str) -> tuple[tuple[int, int], str]:
    """ "40x30 hexagon" → ((40, 30), "hexagon")."""
    found = re.fullmatch(r"(\d{1,4})[x×](\d{1,4})(?:\s+(\w+))?", grid.strip().lower())
    if not found:
        raise BadInput(
            f"grid {grid!r}: give columns x rows and one of {', '.join(SHAPES)}, such as "
            '"40x30 hexagon"'
        )
    return (int(found[1]), int(found[2])), found[3] or "square"
