"""The recipe of ``limner train stylegan``: StyleGAN2 on pictures of one kind.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", with the settings that
"Training Generative Adversarial Networks with Limited Data" (Karras et al. 2020, appendix C) has
for small pictures: one rate for both networks, no path lengths.
"""

from __future__ import annotations

import json
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
from limner.models._stylegan import read, write
from limner.models.stylegan import stylegan_folder
from limner.nets.stylegan import Discriminator, Generator, Shape, mixed
from limner.picture import Picture, grid
from limner.training._data import Captioned, drawing, to_tensor
from limner.training._grown import grown
from limner.training._pool import pooled
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["StyleGAN", "path_penalty", "r1_penalty", "shapes", "stylegan"]

_MIXED = 0.9  # share of pictures of two w (Karras et al. 2019, section 3.1)
_PENALTY_EVERY, _PATHS_EVERY = 16, 4  # steps between lazy penalties: the paper's 16, ADA's 4
_PATH_DECAY = 0.01  # of the paths' mean length, a step (appendix B)
# Channels at 4, 8, 16 … pixels with capacity 1. The discriminator, which a step runs through eight
# times for the generator's four, is the narrower one.
_PAINTER = (128, 128, 96, 48, 16, 8)
_JUDGE = (128, 128, 64, 32, 16, 8)


def shapes(size: int, capacity: float = 1.0) -> tuple[Shape, Shape]:
    """The generator's and the discriminator's for pictures of 8 to 128 pixels, a power of two.

    Raises BadInput for another side.
    """
    count = size.bit_length() - 2
    if size != 2 << count or not 2 <= count <= len(_PAINTER):
        raise BadInput(f"pictures of {size} pixels: give --pixels 8, 16, 32, 64 or 128")

    def wide(widths: tuple[int, ...]) -> Shape:
        return Shape(tuple(max(1, round(capacity * each)) for each in widths[:count]))

    return wide(_PAINTER), wide(_JUDGE)


def r1_penalty(said: Tensor, real: Tensor) -> Tensor:
    """½ E‖∇D‖² at real pictures (b, 3, s, s), of which ``said`` (b,) is what D says.

    Mescheder et al. 2018, eq. 9, without γ.
    """
    slope = torch.autograd.grad(said.float().sum(), real, create_graph=True)[0]
    return slope.square().sum((1, 2, 3)).mean() / 2


def path_penalty(picture: Tensor, w_plus: Tensor, mean: Tensor, towards: Tensor) -> Tensor:
    """E(‖Jᵀy‖ − a)², eq. 4, for noise pictures y ``towards``; moves a, the running ``mean``."""
    product = (picture * towards / math.sqrt(picture.shape[2] * picture.shape[3])).sum()
    slope = torch.autograd.grad(product, w_plus, create_graph=True)[0]
    length = slope.square().sum(2).mean(1).sqrt()
    mean.lerp_(length.detach().mean(), _PATH_DECAY)
    return (length - mean).square().mean()


class StyleGAN:
    """Recipe.

    Args:
        data: pictures; the captions are not used.
        gamma: weight of R1.
        path_length_weight: weight of the paths' lengths; 0: not asked for.
        flips: show half of the pictures mirrored.
        world: limner's, whose pictures they are, told to whoever opens the model.
    """

    def __init__(
        self,
        data: Captioned,
        generator: Generator,
        discriminator: Discriminator,
        *,
        gamma: float = 0.1,
        path_length_weight: float = 0.0,
        flips: bool = True,
        world: str | None = None,
        seed: int = 0,
    ) -> None:
        self.world = world
        self.data, self.generator, self.discriminator = data, generator, discriminator
        self.gamma, self.path_length_weight = gamma, path_length_weight
        self.flips, self.seed = flips, seed
        self.players: Mapping[str, nn.Module] = {
            "generator": generator,
            "discriminator": discriminator,
        }
        networks: tuple[Any, ...] = (generator, discriminator)  # torch's types know no such `to`
        for network in networks:
            network.to(memory_format=torch.channels_last)
        self._drawn = torch.empty(0)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Tensor:
        """uint8 (b, 3, s, s), some of them mirrored."""
        pictures = to_tensor(self.data.step(step, size, rank, ranks)[0])
        if self.flips:
            mirrored = drawing(self.seed, step, rank, "flip").random(size) < 0.5
            pictures[mirrored] = pictures[mirrored].flip(3)
        return pictures

    def learn(
        self, player: str, batch: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """The generator moves first, and the discriminator is shown the pictures that it made."""
        if player == "generator":
            return self._paint(len(batch), step, backward)
        real = batch.to(self._drawn.device).float() / 127.5 - 1
        return self._tell(real, step, backward)

    def _paint(
        self, count: int, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        w_plus, noise = self._styles(count)
        drawn = self.generator(w_plus, noise)
        self._drawn = drawn.detach()
        self.discriminator.requires_grad_(False)
        said = self.discriminator(drawn)
        self.discriminator.requires_grad_(True)
        loss = F.softplus(-said.float()).mean()
        logged = {"fooling": loss}
        if self.path_length_weight and step % _PATHS_EVERY == 0:
            mean = self.generator.path_length
            penalty = path_penalty(drawn, w_plus, mean, torch.randn_like(drawn))
            logged["path_length"] = mean
            loss = loss + self.path_length_weight * _PATHS_EVERY * penalty
        backward(loss)
        return logged

    def _styles(self, count: int) -> tuple[Tensor, Tensor]:
        """w+ of which most rows change from one w to another at some layer, and the noise."""
        shape, device = self.generator.shape, self.generator.w_avg.device
        first, second = (
            self.generator.repeated(self.generator.mapping(z))
            for z in torch.randn(2, count, shape.width, device=device)
        )
        cut = torch.randint(1, shape.layers, (count,), device=device)
        cut[torch.rand(count, device=device) >= _MIXED] = shape.layers
        noise = torch.randn(count, shape.noise, device=device)
        return mixed(first, second, cut), noise

    def _tell(
        self, real: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """The non-saturating logistic loss (Goodfellow et al. 2014), and now and then R1."""
        penalised = self.gamma > 0 and step % _PENALTY_EVERY == 0
        of_drawn = self.discriminator(self._drawn).float()
        of_real = self.discriminator(real.requires_grad_(penalised)).float()
        loss = F.softplus(of_drawn).mean() + F.softplus(-of_real).mean()
        logged = {"telling": loss, "real": of_real.mean(), "drawn": of_drawn.mean()}
        if penalised:
            logged["r1"] = r1_penalty(of_real, real)
            loss = loss + self.gamma * _PENALTY_EVERY * logged["r1"]
        backward(loss)
        return logged

    def _measure(self, count: int) -> None:
        """Where w lies, of z that are the same every time."""
        z = drawing(self.seed, 0, 0, "w").standard_normal((count, self.generator.shape.width))
        self.generator.measure(torch.from_numpy(z).to(self.generator.w_avg))

    def preview(self, step: int, folder: Path) -> None:
        """Two rows of pictures truncated to .7, then the same without truncation."""
        self._measure(2000)
        shape, rng = self.generator.shape, drawing(self.seed, 0, 0, "preview")
        z, noise = (
            torch.from_numpy(rng.standard_normal((32, n))).to(self.generator.w_avg)
            for n in (shape.width, shape.noise)
        )
        w = self.generator.mapping(z)
        rows = [
            self.generator(self.generator.repeated(self.generator.truncated(w, psi)), noise)
            for psi in (0.7, 1.0)
        ]
        pictures = (torch.cat(rows) / 2 + 0.5).clamp(0, 1).cpu()
        grid([Picture(p) for p in pictures], columns=16).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """Both networks, and where w lies."""
        self._measure(10_000)  # as the paper's projector takes, appendix D
        write(folder, self.generator, self.discriminator)
        card = {"world": self.world} if self.world else {}
        (folder / "limner.json").write_text(json.dumps(card))


def stylegan(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    capacity: float = 1.0,
    gamma: float = 0.1,
    path_length_weight: float = 0.0,
    flips: bool = True,
    drawn: int = 14_000,
    start: str | None = None,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Train a StyleGAN2 on pictures of one kind; ``run/model`` is a folder for limner.

    The plan's betas are 0 and 0.99, with no weight decay and no limit on gradients, as the paper's.

    Args:
        capacity: factor on the networks' channels.
        gamma: weight of R1; more is calmer.
        path_length_weight: weight of the paths' lengths, 2 in the paper; 0 leaves them out.
        flips: show half of the pictures mirrored.
        drawn: pictures that are drawn beforehand and kept in the run's folder.
        start: folder of a StyleGAN2 that limner trained to go on from, or embedded; one that
            paints half the side grows.
        resume: go on from the last checkpoint in the run's folder.
        watch: told how many pictures are drawn, of how many.
    """
    flush_denormals()
    for name, value, least in (
        ("capacity", capacity, 0.01),
        ("gamma", gamma, 0.0),
        ("path_length_weight", path_length_weight, 0.0),
        ("drawn", drawn, 2),
    ):
        if not least <= value < math.inf:
            raise BadInput(f"{name} {value}: give a number of at least {least}")
    painter, judge = shapes(data.size, capacity)
    begun = _begun(start, data.size, painter, judge)
    open_run(run, resume)
    pool = pooled(data, run / "pictures", drawn, watch)
    torch.manual_seed(plan.seed)
    generator, discriminator = begun[0] or Generator(painter), begun[1] or Discriminator(judge)
    recipe = StyleGAN(
        Captioned(pool, plan.seed),
        generator.requires_grad_(True),
        discriminator.requires_grad_(True),
        gamma=gamma,
        path_length_weight=path_length_weight,
        flips=flips,
        world=getattr(data, "name", None),
        seed=plan.seed,
    )
    own = replace(plan, betas=(0.0, 0.99), weight_decay=0.0, clip_norm=1e9)
    yield from train(recipe, own, run, resume=resume)


def _begun(
    start: str | None, size: int, painter: Shape, judge: Shape
) -> tuple[Generator | None, Discriminator | None]:
    """What training goes on from, of this side."""
    if not start:
        return None, None
    networks = read(stylegan_folder(start))
    side = networks[0].shape.size
    if 2 * side == size:
        return grown(networks, painter, judge)
    if side != size:
        raise BadInput(
            f"the model in {start!r} paints {side} pixels: give --pixels {side}, or {2 * side}"
        )
    return networks
