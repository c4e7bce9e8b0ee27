"""A weighted sum of judges is a judge."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from limner.errors import BadInput
from limner.judges import Judge
from limner.noise import Noise

__all__ = ["Weighted"]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Σ weight · loss. A judge of weight 0 is not asked; a negative weight turns one around."""

    judges: Sequence[tuple[Judge, float]]

    def __post_init__(self) -> None:
        weights = [weight for _, weight in self.judges]
        if not 0 < sum(abs(weight) for weight in weights) < math.inf:
            raise BadInput(f"judges of weights {weights}: give finite ones, not all of them 0")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """The parts of the first judge, then of the second, and so on."""
        for judge, weight in self.judges:
            if weight != 0:
                for part in judge.losses(pictures, noise, step):
                    yield weight * part
