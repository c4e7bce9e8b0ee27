"""The recipe of ``limner train biggan``: BigGAN on pictures of things that their captions name.

Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis": hinge loss,
spectral norms in both networks, batch statistics in the generator. Two rates (Heusel et al. 2017)
in the place of the paper's two steps of the discriminator for one of the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models._biggan import Read, read, write
from limner.models.biggan import biggan_folder
from limner.nets.biggan import Discriminator, Generator, Shape
from limner.picture import Picture, grid
from limner.training._classes import class_names, classed
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._spectral import baked, normalise, orthogonality
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["BigGAN", "biggan", "hinge_of_drawn", "hinge_of_real", "shape_of"]

# At 4, 8, 16 … pixels with capacity 1. Inside a block they are a fourth: multiples of 16, for which
# a CPU's bfloat16 convolutions are four times as fast as for 8 or 24.
_CHANNELS = (384, 256, 128, 64, 32, 16)
_PENALTY_EVERY = 16  # steps between lazy penalties
_STANDING = 64  # pictures of each batch in which the maps are measured
_ROWS, _COLUMNS = 32, 8  # of a preview, at most


def shape_of(size: int, classes: int, capacity: float = 1.0) -> Shape:
    """For pictures of 8 to 128 pixels, a power of two. Raises BadInput for another side."""
    count = size.bit_length() - 2
    if size != 2 << count or not 2 <= count <= len(_CHANNELS):
        raise BadInput(f"pictures of {size} pixels: give --pixels 8, 16, 32, 64 or 128")
    return Shape(classes, tuple(max(1, round(capacity * each)) for each in _CHANNELS[:count]))


def hinge_of_real(said: Tensor) -> Tensor:
    """E max(0, 1 − D(x)), of real pictures: (b,) → () (Lim and Ye 2017; Miyato et al. 2018)."""
    return (1 - said).relu().mean()


def hinge_of_drawn(said: Tensor) -> Tensor:
    """E max(0, 1 + D(G(z))), of drawn ones: (b,) → ()."""
    return (1 + said).relu().mean()


class BigGAN:
    """Recipe.

    Args:
        data: pictures whose captions are the names of their classes.
        classes: those names, in the order of the networks' numbers.
        generator, discriminator: plain; their weights are normalised from here on.
        orthogonal: weight of the penalty on the generator's rows that are not orthogonal.
        flips: show half of the pictures mirrored.
    """

    def __init__(
        self,
        data: Captioned,
        classes: list[str],
        generator: Generator,
        discriminator: Discriminator,
        *,
        orthogonal: float = 0.0,
        flips: bool = False,
        seed: int = 0,
    ) -> None:
        self.data, self.classes = data, classes
        self.generator, self.discriminator = generator, discriminator
        self.orthogonal, self.flips, self.seed = orthogonal, flips, seed
        self.players: Mapping[str, nn.Module] = {
            "generator": generator,
            "discriminator": discriminator,
        }
        normalise(generator, but=[generator.embedding])
        normalise(discriminator)
        networks: tuple[Any, ...] = (generator, discriminator)  # torch's types know no such `to`
        for network in networks:
            network.to(memory_format=torch.channels_last)
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._drawn = torch.empty(0)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> tuple[Tensor, Tensor]:
        """uint8 (b, 3, s, s), and the classes' numbers (b,)."""
        given, names = self.data.step(step, size, rank, ranks)
        pictures = to_tensor(given)
        if self.flips:
            mirrored = drawing(self.seed, step, rank, "flip").random(size) < 0.5
            pictures[mirrored] = pictures[mirrored].flip(3)
        return pictures, torch.tensor([self._numbers[name] for name in names])

    def learn(
        self,
        player: str,
        batch: tuple[Tensor, Tensor],
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """The generator moves first, and the discriminator is shown the pictures that it made.

        What it draws is of the classes of the real pictures, one for one.
        """
        device = self.generator.begin.weight.device
        pictures, classes = (part.to(device) for part in batch)
        if player == "generator":
            return self._paint(classes, step, backward)
        return self._tell(pictures.float() / 127.5 - 1, classes, backward)

    def _paint(
        self, classes: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        shape = self.generator.shape
        noise = torch.randn(len(classes), shape.layers, shape.noise, device=classes.device)
        pictures = self.generator(_conditions(self.generator, noise, classes))
        self._drawn = pictures.detach()
        self.discriminator.requires_grad_(False)
        loss = -self.discriminator(pictures, classes).mean()
        self.discriminator.requires_grad_(True)
        logged = {"fooling": loss}
        if self.orthogonal and step % _PENALTY_EVERY == 0:
            logged["orthogonality"] = orthogonality(self.generator)
            loss = loss + self.orthogonal * _PENALTY_EVERY * logged["orthogonality"]
        backward(loss)
        return logged

    def _tell(
        self, real: Tensor, classes: Tensor, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        both, of_both = torch.cat([real, self._drawn]), torch.cat([classes, classes])
        of_real, of_drawn = self.discriminator(both, of_both).chunk(2)
        loss = hinge_of_real(of_real) + hinge_of_drawn(of_drawn)
        backward(loss)
        return {"telling": loss, "real": of_real.mean(), "drawn": of_drawn.mean()}

    def _plain(self, batches: int) -> Generator:
        """The generator without its spectral norms' machinery, its maps measured."""
        with torch.device("meta"):
            plain = Generator(self.generator.shape)
        plain = baked(self.generator, plain)
        plain.measure(self._some(plain, _STANDING, batch, "standing") for batch in range(batches))
        return plain

    def _some(self, generator: Generator, count: int, step: int, purpose: str) -> Tensor:
        """Conditions for pictures of all classes in turn, the same every time."""
        device, shape = generator.begin.weight.device, generator.shape
        rng = drawing(self.seed, step, 0, purpose)
        noise = torch.from_numpy(rng.standard_normal((count, shape.layers, shape.noise)))
        classes = (torch.arange(count, device=device) + step * count) % shape.classes
        return _conditions(generator, noise.to(device, torch.float32), classes)

    def preview(self, step: int, folder: Path) -> None:
        """A row of pictures for each class."""
        plain = self._plain(8)
        rows = min(_ROWS, plain.shape.classes)
        some = [self._some(plain, rows, 0, f"preview {column}") for column in range(_COLUMNS)]
        pictures = plain(torch.stack(some, 1).flatten(0, 1))
        shown = (pictures / 2 + 0.5).clamp(0, 1).cpu()
        grid([Picture(p) for p in shown], columns=_COLUMNS).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """Both networks, plain."""
        with torch.device("meta"):
            judge = Discriminator(self.discriminator.shape)
        write(folder, self.classes, self._plain(32), baked(self.discriminator, judge))


def biggan(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    classes: str | None = None,
    capacity: float = 1.0,
    pace: float = 0.5,
    orthogonal: float = 0.0,
    flips: bool = False,
    drawn: int = 14_000,
    start: str | None = None,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a BigGAN on pictures of single things; ``run/model`` is a folder for limner.

    The plan's betas are 0 and 0.99, with no weight decay and no limit on gradients; its rate is the
    discriminator's.

    Args:
        classes: their names, with commas: a picture's is the one that its caption names first, and
            pictures without one are left out. Not said: the nouns of the world scenes.
        capacity: factor on the networks' channels.
        pace: the generator's rate, as a share of the discriminator's.
        orthogonal: weight of the penalty on the generator's rows that are not orthogonal; the paper
            has 0.0001, and 0 leaves it out.
        flips: show half of the pictures mirrored.
        drawn: pictures that are drawn beforehand and kept in the run's folder.
        start: folder of a BigGAN that limner trained to go on from, or embedded.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pictures are drawn, of how many.
    """
    flush_denormals()
    _check(
        capacity=(capacity, 0.01), pace=(pace, 1e-4), orthogonal=(orthogonal, 0), drawn=(drawn, 2)
    )
    shape_of(data.size, 2, capacity)
    begun = _begun(start, data.size, classes) if start else None
    known = begun.classes if begun else class_names(classes)
    open_run(run, resume)
    whole = begun is not None or classes is not None
    pool = classed(data, run, drawn, known, watch, all_of_them=whole)
    torch.manual_seed(plan.seed)
    shape = begun.generator.shape if begun else shape_of(data.size, len(pool.names), capacity)
    generator = begun.generator if begun else Generator(shape)
    discriminator = (begun and begun.discriminator) or Discriminator(shape)
    recipe = BigGAN(
        Captioned(pool, plan.seed),
        pool.names,
        generator.requires_grad_(True),
        discriminator.requires_grad_(True),
        orthogonal=orthogonal,
        flips=flips,
        seed=plan.seed,
    )
    own = replace(
        plan, betas=(0.0, 0.99), weight_decay=0.0, clip_norm=1e9, rates={"generator": pace}
    )
    yield from train(recipe, own, run, resume=resume)


def _check(**given: tuple[float, float]) -> None:
    """Each value and the least that it may be. Raises BadInput."""
    for name, (value, least) in given.items():
        if not least <= value < math.inf:
            raise BadInput(f"{name} {value}: give a number of at least {least}")


def _begun(start: str, size: int, classes: str | None) -> Read:
    """The model to go on from. Raises BadInput where the data's size or the classes are others."""
    begun = read(biggan_folder(start))
    side = begun.generator.shape.size
    if side != size:
        raise BadInput(f"the model in {start!r} paints {side} pixels: give --pixels {side}")
    if classes is not None and class_names(classes) != begun.classes:
        raise BadInput(f"the model in {start!r} has classes of its own: leave --classes out")
    return begun


def _conditions(generator: Generator, noise: Tensor, classes: Tensor) -> Tensor:
    """Of one class for all layers: noise (b, layers, n), classes (b,)."""
    told = F.one_hot(classes, generator.shape.classes).to(noise.dtype)
    return generator.conditions(noise, told[:, None].expand(-1, noise.shape[1], -1))
