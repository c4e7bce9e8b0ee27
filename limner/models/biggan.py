"""BigGAN (Brock et al. 2019) from a folder that limner trained or converted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _biggan, _folder
from limner.models._bounds import refusing
from limner.models._text_to_image import moved
from limner.models.embedded import folder as embedded_folder
from limner.nets.biggan import Discriminator, Generator

__all__ = ["BigGAN", "biggan_folder", "biggan_side", "open_biggan"]


@dataclass(frozen=True, eq=False)
class BigGAN:
    """What `open_biggan` gives: noise and classes, of each layer by itself → pictures."""

    name: str
    network: Generator
    discriminator: Discriminator | None  # (b, 3, s, s) in [-1, 1], (b,) → (b,), where it was kept
    classes: tuple[str, ...]
    licence: str
    files: tuple[Path, ...]
    truncation: float = 1.0  # of the noise that its statistics are of: where it is cut, over 2

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.network.begin.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """In which type of numbers."""
        return self.network.begin.weight.dtype

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return self.network.shape.size

    @property
    def layers(self) -> int:
        """That have noise and a class of their own, from coarse to fine."""
        return self.network.shape.layers

    @property
    def noise(self) -> int:
        """Numbers of one layer's noise."""
        return self.network.shape.noise

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> BigGAN:
        """The model on a device in a floating type; itself where it is so already."""
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        judge = self.discriminator and moved(self.discriminator, device, dtype)
        network = moved(self.network, device, dtype)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for key, measured in list(norm.named_buffers()):
                    setattr(norm, key, measured.to(dtype))
        return replace(self, network=network, discriminator=judge)

    def truncated(self, truncation: float) -> BigGAN:
        """The model with the statistics of noise within 2·truncation (section 3.1), where it has
        them: limner's own have those of the whole noise only."""
        if not 0 < truncation <= 1:
            raise BadInput(f"truncation {truncation}: give a number above 0, up to 1")
        if truncation == self.truncation:
            return self
        network = moved(self.network, self.device, self.dtype)
        for name, told in _biggan.statistics(self.files[0].parent, network, truncation).items():
            network.get_buffer(name).copy_(told)
        return replace(self, network=network, truncation=truncation)

    def pictures(self, noise: Tensor, classes: Tensor) -> Tensor:
        """noise (b, layers, n), standard normal, and classes (b, layers, k), of each how much, 1
        for one and else 0 in training → pictures (b, 3, s, s) in [0, 1]. With gradients."""
        picture: Tensor = self.network(self.network.conditions(noise, classes))
        return picture / 2 + 0.5


@refusing
def open_biggan(name: str | Path = "embedded") -> BigGAN:
    """Opens "embedded", or a folder or hub id of a BigGAN that limner saved; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled or broken.
    """
    folder = biggan_folder(name)
    found = _biggan.read(folder)
    card = _folder.read_json(folder / "limner.json", missing={})
    return BigGAN(
        name=str(name),
        network=found.generator,
        discriminator=found.discriminator,
        classes=tuple(found.classes),
        licence=str(card.get("licence", "see the model's own page")),
        files=(folder / _biggan.GENERATOR, folder / _biggan.CONFIG),
    )


def biggan_side(name: str | Path) -> int:
    """Pixels of a side of the pictures that a BigGAN paints, without opening it."""
    return _biggan.shape(biggan_folder(name)).size


def biggan_folder(name: str | Path) -> Path:
    """Where "embedded", a folder or a hub id is."""
    return embedded_folder("biggan") if name == "embedded" else _folder.find_folder(name)
