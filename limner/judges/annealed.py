"""A judge that counts for less with every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from limner.errors import BadInput
from limner.judges import Judge
from limner.noise import Noise

__all__ = ["Annealed"]


@dataclass(frozen=True, eq=False)
class Annealed:
    """(1 − step/steps) · loss; from `steps` on the judge is not asked.

    Bar-Tal et al. 2022 bootstrap so: what leads the first steps has no say in the end.
    """

    judge: Judge
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"annealed over {self.steps} steps: give at least 1")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """The judge's parts."""
        if step < self.steps:
            for part in self.judge.losses(pictures, noise, step):
                yield (1 - step / self.steps) * part
