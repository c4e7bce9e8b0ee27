"""Spaces of which everything is known: a linear generator, and a StyleGAN2's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

from limner.generators import Latent
from limner.noise import Noise
from limner.tasks._spaces import Kind, Space

SIDE, WIDTH = 8, 5


class Linear:
    """x = M·z + ½, as long as that is a picture; inverted by the pseudo-inverse."""

    def __init__(self) -> None:
        self.matrix = 0.02 * Noise(2, [0]).normal((3 * SIDE * SIDE, WIDTH))[0]
        self.rates: Mapping[str, float] = {"z": 0.1}
        self.encoder_is_off_by = 0.0

    def start(self, noise: Noise) -> Latent:
        return {"z": noise.normal((WIDTH,))}

    def render(self, latent: Latent) -> Tensor:
        return (latent["z"] @ self.matrix.T + 0.5).view(-1, 3, SIDE, SIDE)

    def constrain(self, latent: Latent) -> Latent:
        return latent

    def invert(self, pictures: Tensor) -> Latent:
        exact = (pictures.flatten(1) - 0.5) @ self.matrix.pinverse().T
        return {"z": exact + self.encoder_is_off_by}


def linear_space(encoded: object) -> tuple[Space, Linear]:
    """`encoded` is `_encoded` of `_spaces.py`, by which encoders are asked."""
    generator = Linear()
    kind = Kind(
        opens=lambda name: None, make=lambda model, size: generator,
        fits=lambda model, size: (SIDE, SIDE), invert=encoded, steps=0, pairs=4,
    )  # fmt: skip
    return Space("linear", kind, SimpleNamespace(name="toy", size=SIDE, fingerprint="f")), generator


def stylegan_folder(folder: Path, channels: tuple[int, ...] = (6, 6, 5, 4, 4)) -> Path:
    """A random StyleGAN2, usually of 64 pixels with ten layers."""
    from limner.models._stylegan import write
    from limner.nets.stylegan import Discriminator, Generator, Shape

    torch.manual_seed(4)
    shape = Shape(channels, width=8, mapping_layers=2)
    network = Generator(shape)
    with torch.no_grad():  # livelier than at birth, so that z matters to the picture
        for name, weight in network.mapping.named_parameters():
            weight.mul_(1 if name.endswith("bias") else 3)
    network.measure(Noise(1, range(100)).normal((8,)))
    write(folder, network, Discriminator(shape))
    return folder
