"""A Conditional whose x0 stays where pictures are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from limner.denoisers import Conditional
from limner.levels import Level

__all__ = ["Bounded"]


@dataclass(frozen=True)
class Bounded:
    """x0 brought to within ±limit: "static thresholding" (Saharia et al. 2022, "Imagen", section
    2.3), as Ho et al. 2020's code does it.

    At a noisy level x0 = (x − σ·ε)/α magnifies ε's error by σ/α, 20,000 at the end of the cosine
    schedule: without a bound the first steps of a sampler go astray.
    """

    network: Conditional
    limit: float = 1.0

    def __call__(self, x: Tensor, level: Level, condition: Tensor) -> Tensor:
        """x (b, c, h, w) at `level`, condition (b, n, d) → x0 (b, c, h, w) in ±limit."""
        return self.network(x, level, condition).clamp(-self.limit, self.limit)
