"""StyleGAN2 and 3 (Karras et al. 2020, 2021) from a folder that limner trained or converted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder, _stylegan, _stylegan3
from limner.models._bounds import refusing
from limner.models._text_to_image import moved
from limner.models.embedded import folder as embedded_folder
from limner.nets import stylegan3
from limner.nets.stylegan import Discriminator, Generator

__all__ = ["StyleGAN", "open_stylegan", "stylegan_folder", "stylegan_side"]


@dataclass(frozen=True, eq=False)
class StyleGAN:
    """What `open_stylegan` gives: z → w → w+ → styles → pictures, each step by itself.

    All with gradients. `layers` rows of w+ (b, layers, d); noise (b or 1, `noise`), standard
    normal, holds the maps of all layers one behind the other, and zeros are its mean. A StyleGAN3
    has no noise: its `noise` is 0, and the styles begin with how the picture is turned and shifted.
    """

    name: str
    network: Generator | stylegan3.Generator
    discriminator: Discriminator | None  # (b, 3, s, s) in [-1, 1] → (b,), where it was kept
    licence: str
    files: tuple[Path, ...]
    world: str | None = None  # of limner's worlds the one whose pictures it learned from
    fixed_noise: Tensor | None = None  # (1, noise) that it was published with, where it was

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.network.w_avg.device

    @property
    def dtype(self) -> torch.dtype:
        """In which type of numbers."""
        return next(self.network.parameters()).dtype

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return self.network.shape.size

    @property
    def width(self) -> int:
        """Numbers of a z or a w."""
        return self.network.shape.width

    @property
    def layers(self) -> int:
        """Rows of w+, from coarse to fine."""
        return self.network.shape.layers

    @property
    def noise(self) -> int:
        """Numbers of one picture's noise."""
        return self.network.shape.noise

    @property
    def stylegan2(self) -> Generator:
        """The network of a StyleGAN2. Raises BadInput for a StyleGAN3."""
        if not isinstance(self.network, Generator):
            raise BadInput(f"{self.name!r} is a StyleGAN3: give a StyleGAN2")
        return self.network

    @property
    def w_mean(self) -> Tensor:
        """(d,), of 10,000 z."""
        return self.network.w_avg

    @property
    def w_std(self) -> Tensor:
        """(d,), of the same."""
        return self.network.w_std

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> StyleGAN:
        """The model on a device in a floating type; itself where it is so already."""
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        judge = self.discriminator and moved(self.discriminator, device, dtype)
        network = moved(self.network, device, dtype)
        exact = torch.promote_types(dtype, torch.float32)
        for part in network.modules():  # buffers keep their type in `moved`: filters, waves
            for key, measured in list(part.named_buffers(recurse=False)):
                setattr(part, key, measured.to(exact))
        network.w_avg, network.w_std = network.w_avg.to(dtype), network.w_std.to(dtype)
        fixed = None if self.fixed_noise is None else self.fixed_noise.to(device, dtype)
        return replace(self, network=network, discriminator=judge, fixed_noise=fixed)

    def mapping(self, z: Tensor) -> Tensor:
        """z (b, d), standard normal → w (b, d)."""
        w: Tensor = self.network.mapping(z)
        return w

    def repeated(self, w: Tensor) -> Tensor:
        """w (b, d) → w+ (b, layers, d)."""
        return self.network.repeated(w)

    def truncated(self, w: Tensor, psi: float) -> Tensor:
        """w, or w+, (…, d) brought nearer to the mean: w̄ + ψ·(w − w̄)."""
        return self.network.truncated(w, psi)

    def styles(self, w_plus: Tensor) -> Tensor:
        """w+ (b, layers, d) → style space (b, Σ style_widths): see `Shape.style_widths`."""
        return self.network.synthesis.styles(w_plus)

    def synthesis(self, w_plus: Tensor, noise: Tensor) -> Tensor:
        """w+ (b, layers, d) → pictures (b, 3, s, s), about [0, 1], not clamped."""
        return self.synthesis_from_styles(self.styles(w_plus), noise)

    def synthesis_from_styles(self, styles: Tensor, noise: Tensor) -> Tensor:
        """Style space → pictures (b, 3, s, s), about [0, 1], not clamped."""
        picture: Tensor = self.network.synthesis(styles, noise)
        return picture / 2 + 0.5


@refusing
def open_stylegan(name: str | Path = "embedded") -> StyleGAN:
    """Opens "embedded", or a folder or hub id of a StyleGAN that limner saved; float32, CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled or broken.
    """
    folder = stylegan_folder(name)
    generator: Generator | stylegan3.Generator
    discriminator, fixed = None, None
    said = _folder.read_json(folder / _stylegan.CONFIG, missing={})
    if said.get("model_type") == _stylegan3.KIND:
        generator = _stylegan3.read(folder)
    else:
        generator, discriminator = _stylegan.read(folder)
        fixed = _stylegan.fixed_noise(folder, generator.shape.noise)
    card = _folder.read_json(folder / "limner.json", missing={})
    return StyleGAN(
        name=str(name),
        network=generator,
        discriminator=discriminator,
        licence=str(card.get("licence", "see the model's own page")),
        files=(folder / _stylegan.GENERATOR, folder / _stylegan.CONFIG),
        world=card.get("world"),
        fixed_noise=fixed,
    )


def stylegan_side(name: str | Path) -> int:
    """Pixels of a side of the pictures that a StyleGAN paints, without opening it."""
    folder = stylegan_folder(name)
    said = _folder.read_json(folder / _stylegan.CONFIG)
    third = said.get("model_type") == _stylegan3.KIND
    return (_stylegan3 if third else _stylegan).shape(folder).size


def stylegan_folder(name: str | Path) -> Path:
    """Where "embedded", a folder or a hub id is."""
    return embedded_folder("stylegan") if name == "embedded" else _folder.find_folder(name)
