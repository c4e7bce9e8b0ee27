"""A layer, seen by any judge as it lies over a ground."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from limner.judges import Judge
from limner.judges._rows import beside
from limner.noise import Noise

__all__ = ["Over"]


@dataclass(frozen=True, eq=False)
class Over:
    """The judge sees colour·α + ground·(1 − α) of layers (b, 4, h, w), α last.

    judge:   any
    ground:  (1 or b, 3, h, w) in [0, 1], of the layers' size
    """

    judge: Judge
    ground: Tensor

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """The judge's parts."""
        colour, alpha = pictures[:, :3], pictures[:, 3:]
        ground = beside(self.ground, colour, "ground")
        blend = (colour * alpha + ground * (1 - alpha)).detach()
        if not pictures.requires_grad:
            return self.judge.losses(blend, noise, step)
        # Parts are graphs of their own: what they have in common must hold nothing that the first
        # one's backward would free. Sums hold nothing, and hooks are not freed.
        opaque, apart = alpha.detach(), (colour - ground).detach()
        by_colour = colour - colour.detach()
        by_colour.register_hook(lambda gradient: gradient * opaque)
        by_alpha = (alpha - opaque).expand_as(colour)
        by_alpha.register_hook(lambda gradient: gradient * apart)
        return self.judge.losses(blend + by_colour + by_alpha, noise, step)
