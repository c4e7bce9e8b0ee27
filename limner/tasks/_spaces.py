"""Generators whose latents are moved by hand: how each is opened, and how it sees a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from limner.generators import Generator, Latent
from limner.generators.diffusion_autoencoder import diffusion_autoencoder
from limner.generators.latent import latent
from limner.generators.stylegan import KINDS as STYLES
from limner.generators.stylegan import stylegan
from limner.generators.vqgan import vqgan
from limner.judges.likeness import Likeness
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.models.diffusion_autoencoder import (
    STEPS,
    DiffusionAutoencoder,
    open_diffusion_autoencoder,
)
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.models.vqgan import Vqgan, open_vqgan
from limner.noise import Noise
from limner.picture import resize
from limner.searches.descend import descend
from limner.tasks._generators import begun_at

__all__ = ["KINDS", "LARGEST", "Kind", "Model", "Report", "Size", "Space", "fitted"]

Model = TextToImage | Vqgan | StyleGAN | DiffusionAutoencoder
Size = tuple[int, int]  # width, height in pixels

Report = Callable[[int, Latent], None]
"""report(step, the best latent so far)"""

LARGEST = 1024  # pixels of the longer side of what an autoencoder encodes


@dataclass(frozen=True)
class Kind:
    """How a generator is opened and made, and what its latents are like.

    fits:    the size of pictures nearest to one that is given
    invert:  (generator, pictures, steps, report) → their latent
    steps:   of an inversion where nothing is said; 0 is an encoder's own answer
    pairs:   of faces that an attribute is measured by where nothing is said
    round:   parts of normal noise, whose numbers lie about a sphere
    seeds:   whether a seed alone is a picture worth looking at
    still:   parts that attributes leave alone; what moves is the encoder's own answer
    """

    opens: Callable[[str | Path], Model]
    make: Callable[[Model, Size], Generator]
    fits: Callable[[Model, Size], Size]
    invert: Callable[[Generator, Tensor, int, Report | None], Latent]
    steps: int
    pairs: int
    round: tuple[str, ...] = ()
    seeds: bool = False
    still: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Space:
    """The latents of a generator, with its model opened; `name` is what --generator calls it."""

    name: str
    kind: Kind
    model: Model

    def fitting(self, pixels: Tensor) -> Size:
        """The size at which a picture (3, h, w) is inverted."""
        return self.kind.fits(self.model, (pixels.shape[2], pixels.shape[1]))

    @property
    def own(self) -> Size:
        """The size that the model was trained on."""
        return self.model.size, self.model.size

    def at(self, size: Size) -> Generator:
        return self.kind.make(self.model, size)

    def inverted(
        self, pictures: Tensor, steps: int | None = None, report: Report | None = None
    ) -> Latent:
        """The latent of pictures (b, 3, h, w) in [0, 1], of a size that fits."""
        generator = self.at((pictures.shape[3], pictures.shape[2]))
        steps = self.kind.steps if steps is None else steps
        return self.kind.invert(generator, pictures, steps, report)


def fitted(pixels: Tensor, size: Size) -> Tensor:
    """A picture (3, h, w) as (1, 3, height, width): its middle of that shape, resized."""
    (width, height), (high, wide) = size, pixels.shape[1:]
    scale = min(wide / width, high / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (wide - across) // 2, (high - down) // 2
    return resize(pixels[:, top : top + down, left : left + across], (height, width))[None]


@runtime_checkable
class _Projects(Protocol):
    """A generator that looks for a picture's latent step by step."""

    def inverting(self, pictures: Tensor, *, steps: int) -> Iterator[Latent]: ...


def _encoded(generator: Generator, pictures: Tensor, steps: int, report: Report | None) -> Latent:
    """The encoder's answer; from there downhill, to the nearest picture that was met."""
    best = begun_at(generator, "the generator", pictures)
    if steps == 0:
        return best
    noise = Noise(0, range(len(pictures)))
    for state in descend(generator, Likeness(pictures), noise=noise, steps=steps, start=best):
        best = state.best
        if report is not None:
            report(state.step, best)
    return best


def _projected(generator: Generator, pictures: Tensor, steps: int, report: Report | None) -> Latent:
    """What the generator itself finds in so many steps."""
    assert isinstance(generator, _Projects)
    found: Latent = {}
    for step, found in enumerate(generator.inverting(pictures, steps=steps), 1):
        if report is not None:
            report(step, found)
    return found


def _led(generator: Generator, pictures: Tensor, steps: int, report: Report | None) -> Latent:
    """The encoder's answer where there are no steps, else what the generator finds in so many."""
    if steps == 0:
        return begun_at(generator, "the generator", pictures)
    return _projected(generator, pictures, steps, report)


def _semantic(model: Model, size: Size) -> Generator:
    assert isinstance(model, DiffusionAutoencoder)  # `opens` gave it
    return diffusion_autoencoder(model, size)


def _latent(model: Model, size: Size) -> Generator:
    assert isinstance(model, TextToImage)  # `opens` gave it
    return latent(model, size)


def _vqgan(model: Model, size: Size, kind: str) -> Generator:
    assert isinstance(model, Vqgan)
    return vqgan(model, size, kind)


def _stylegan(model: Model, size: Size, kind: str) -> Generator:
    assert isinstance(model, StyleGAN)
    return stylegan(model, size, kind)


def _multiples(model: Model, size: Size) -> Size:
    """The picture's own size, in multiples of what the autoencoder reduces; smaller where it is
    very large."""
    assert isinstance(model, TextToImage | Vqgan)
    by, scale = model.downscale, min(1.0, LARGEST / max(size))
    width, height = (max(by, round(side * scale / by) * by) for side in size)
    return width, height


def _square(model: Model, size: Size) -> Size:
    return model.size, model.size


def _autoencoder(
    opens: Callable[[str | Path], Model], make: Callable[[Model, Size], Generator]
) -> Kind:
    return Kind(opens, make, fits=_multiples, invert=_encoded, steps=0, pairs=64)


def _style(kind: str) -> Kind:
    """Of normal noise: z (Karras et al. 2019, section 4.1, interpolates it on the sphere, w on a
    line) and the layers' noise."""
    return Kind(
        open_stylegan,
        partial(_stylegan, kind=kind),
        fits=_square,
        invert=_projected,
        steps=300,
        pairs=8,
        round=("z", "noise") if kind == "z" else ("noise",),
        seeds=True,
    )


# By name, or NAME=KIND where there are kinds of it; stylegan alone is stylegan=w+.
KINDS = {
    # Preechakul et al. 2022, section 4.2: z on a line, x_T on the sphere; attributes are in z alone
    "diffusion_autoencoder": Kind(
        open_diffusion_autoencoder,
        _semantic,
        fits=_square,
        invert=_led,
        steps=STEPS,
        pairs=64,
        round=("noise",),
        still=("noise",),
    ),
    "latent": _autoencoder(open_model, _latent),
    "vqgan": _autoencoder(open_vqgan, partial(_vqgan, kind="z")),
    "vqgan=logits": _autoencoder(open_vqgan, partial(_vqgan, kind="logits")),
    "stylegan": _style("w+"),
    **{f"stylegan={kind}": _style(kind) for kind in STYLES if kind != "w+"},
}
