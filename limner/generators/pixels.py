"""Pixels: the picture is its own latent. Nothing is easier to move, and nothing holds it back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.noise import Noise

__all__ = ["Pixels"]

_NOISE = 0.02  # standard deviation of the start around mid grey


class Pixels:
    """Pictures of size (width, height); latent: `pixels` (b, 3, h, w) in [0, 1]."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = checked(size)
        self.rates: Mapping[str, float] = {"pixels": 0.03}

    def start(self, noise: Noise) -> Latent:
        """Mid grey with a little noise, so that no two searches begin alike."""
        width, height = self.size
        return self.constrain({"pixels": 0.5 + _NOISE * noise.normal((3, height, width))})

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]: the latent, clamped."""
        return clamp(latent["pixels"])

    def constrain(self, latent: Latent) -> Latent:
        """Each value brought into [0, 1]."""
        return {"pixels": latent["pixels"].clamp(0, 1)}

    def invert(self, pictures: Tensor) -> Latent:
        """The latent of pictures (b, 3, h, w) in [0, 1], exactly."""
        return {"pixels": fitting(pictures, self.size).clone()}
