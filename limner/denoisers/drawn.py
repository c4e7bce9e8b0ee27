"""A generator that draws x0 anew at each level (Xiao et al. 2022, denoising diffusion GANs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from limner.errors import BadInput
from limner.levels import Level
from limner.noise import Noise

__all__ = ["Drawn"]

_APART = 1e-6  # of flow times that are the same level


@dataclass(frozen=True)
class Drawn:
    """D(x, level) = network(x, k, z): x0 drawn for x at levels[k], with z of its own for each k.

    network:  network(x, k, z) → x0, with x (b, c, h, w) and z (b, width)
    levels:   those that it has learned, noisy to clean; it knows no other
    noise:    of the b samples
    """

    network: Callable[[Tensor, int, Tensor], Tensor]
    levels: Sequence[Level]
    noise: Noise
    width: int

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        near = [abs(own.time - level.time) < _APART for own in self.levels]
        if not any(near):
            raise BadInput(
                f"the generator knows {len(self.levels)} levels, and {level} is none of them: "
                "sample it with ddpm, in steps that divide their number"
            )
        k = near.index(True)
        z = self.noise.normal((self.width,), step=k, purpose="z").to(x)
        return self.network(x, k, z)
