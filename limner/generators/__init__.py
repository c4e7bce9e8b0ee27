"""Generators: a latent → a picture. A search moves the latent until its judges agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from limner.noise import Noise

__all__ = ["Generator", "Latent"]

Latent = dict[str, Tensor]
"""Named parts, each (b, …) float32: what a search moves. Picture k depends on row k alone."""


class Generator(Protocol):
    """Differentiable from `render`'s picture to every part of its latent.

    Members that can also work from a picture have `invert(pictures) → Latent`.
    """

    rates: Mapping[str, float]
    """Each part's usual learning rate for Adam."""

    def start(self, noise: Noise) -> Latent:
        """Where a search begins: one latent for each of the noise's samples."""
        ...

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]; `Layer.alone`: layers (b, 4, h, w), opacity last."""
        ...

    def constrain(self, latent: Latent) -> Latent:
        """The nearest latent that may be: asked for after each step, without gradients."""
        ...
