"""Two networks that look at faces: who it is (`limner train identity`), and what is true of it
(`limner train attributes`). They know the people of the world `faces`, and no real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from limner.errors import BadInput
from limner.models._bounds import refusing
from limner.models._resnet import ResNet, open_resnet

__all__ = ["DOMAIN", "Attributes", "Identity", "open_attributes", "open_identity"]

DOMAIN = "domain: "  # what the labels of domains begin with, among the logits


@dataclass(frozen=True, eq=False)
class Identity:
    """What `open_identity` gives. Cosines of its embeddings tell people apart."""

    network: ResNet

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def licence(self) -> str:
        return self.network.licence

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return self.network.fingerprint

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Identity:
        """On a device in a floating type; itself where it is so already."""
        moved = self.network.to(device, dtype)
        return self if moved is self.network else Identity(moved)

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] of any size, of one face each that fills their middle
        square → (b, d) of length 1, in the network's type, with gradients."""
        return normalize(self.network.logits(pictures), dim=1)


@dataclass(frozen=True, eq=False)
class Attributes:
    """What `open_attributes` gives. It is trained apart: no search follows it, it measures."""

    network: ResNet

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def licence(self) -> str:
        return self.network.licence

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return self.network.fingerprint

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The attributes, in the order of `probabilities`."""
        return tuple(label for label in self.network.labels if not label.startswith(DOMAIN))

    @cached_property
    def domain_names(self) -> tuple[str, ...]:
        """In the order of `domains`, "none" first; () where it was taught none."""
        told = (label for label in self.network.labels if label.startswith(DOMAIN))
        return tuple(label.removeprefix(DOMAIN) for label in told)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> Attributes:
        """On a device in a floating type; itself where it is so already."""
        moved = self.network.to(device, dtype)
        return self if moved is self.network else Attributes(moved)

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] of any size → (b, k) in [0, 1], each attribute's by
        itself, with gradients."""
        return self._logits(pictures, domains=False).sigmoid()

    def domains(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] of any size → (b, m), rows of probabilities whose sum
        is 1, with gradients. Raises BadInput where it was taught no domains."""
        if not self.domain_names:
            raise BadInput(
                f"{self.name!r} tells no domains apart: one that was trained with --data "
                "'world:faces?aligned=1&styled=0.4' does"
            )
        return self._logits(pictures, domains=True).softmax(1)

    def _logits(self, pictures: Tensor, *, domains: bool) -> Tensor:
        labels = enumerate(self.network.labels)
        columns = [number for number, label in labels if label.startswith(DOMAIN) == domains]
        return self.network.logits(pictures)[:, columns]


@refusing
def open_identity(name: str | Path = "embedded") -> Identity:
    """Opens "embedded", or what `limner train identity` wrote; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    return Identity(open_resnet(name, "identity"))


@refusing
def open_attributes(name: str | Path = "embedded") -> Attributes:
    """Opens "embedded", or what `limner train attributes` wrote; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    return Attributes(open_resnet(name, "attributes"))
