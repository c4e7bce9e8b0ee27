"""A layer's opacity, seen by any judge as a grey picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from limner.judges import Judge
from limner.noise import Noise

__all__ = ["Opacity"]


@dataclass(frozen=True, eq=False)
class Opacity:
    """The judge sees α of layers (b, 4, h, w), their last channel, as pictures (b, 3, h, w)."""

    judge: Judge

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """The judge's parts."""
        alpha = pictures[:, 3:].expand(-1, 3, -1, -1)
        return self.judge.losses(alpha, noise, step)
