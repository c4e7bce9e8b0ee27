"""A Conditional with its condition filled in: the plainest Denoiser, without guidance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from limner.denoisers import Conditional
from limner.denoisers._together import together
from limner.levels import Level

__all__ = ["Given"]


@dataclass(frozen=True)
class Given:
    """D(x, level) = network(x, level, condition); condition (b, n, d), or (1, n, d) for all."""

    network: Conditional
    condition: Tensor

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        return together(self.network, x, level, [self.condition])[0]
