"""Symmetry: a picture should be its own mirror image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from limner.errors import BadInput
from limner.judges._rows import mean
from limner.noise import Noise

__all__ = ["Symmetry"]


@dataclass(frozen=True)
class Symmetry:
    """The mean square of picture − mirrored picture.

    axis:  "horizontal" mirrors left to right, "vertical" top to bottom
    """

    axis: Literal["horizontal", "vertical"] = "horizontal"

    def __post_init__(self) -> None:
        if self.axis not in ("horizontal", "vertical"):
            raise BadInput(f"symmetry {self.axis!r}: give 'horizontal' or 'vertical'")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        mirrored = pictures.flip(3 if self.axis == "horizontal" else 2)
        yield mean((pictures - mirrored).square())
