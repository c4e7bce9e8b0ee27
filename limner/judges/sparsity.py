"""Sparsity: an edit should change few pixels (Text2LIVE, Bar-Tal et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from limner.judges._rows import beside, mean
from limner.noise import Noise

__all__ = ["Sparsity"]


@dataclass(frozen=True, eq=False)
class Sparsity:
    """l1·mean(a) + l0·mean(2·(σ(5a) − ½)), a the mean over a pixel's channels of |x − reference|.

    The second, a smooth ‖a‖₀, costs about the same for a pixel changed much or very much. The paper
    takes both of the opacity of an edit's layer, with equal weights for images.

    reference:  (1 or b, 3, h, w) in [0, 1], of the pictures' size
    """

    reference: Tensor
    l1: float = 1.0
    l0: float = 1.0

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        apart = (pictures - beside(self.reference, pictures, "reference picture")).abs().mean(1)
        # 2·(σ(5a) − ½) is tanh(5a/2); torch's sigmoid rounds by a number's place in memory.
        yield self.l1 * mean(apart) + self.l0 * mean((2.5 * apart).tanh())
