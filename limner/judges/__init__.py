"""Judges: a picture → a loss, lower is better. Sums of judges with weights are judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from limner.noise import Noise

__all__ = ["Judge"]


class Judge(Protocol):
    """Row k of a loss depends on picture k alone, and on the noise of its sample."""

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """Parts (b,) whose sum is the loss of pictures (b, 3, h, w) in [0, 1].

        Judges of layers (`over`, `opacity`, `screen`) see them as (b, 4, h, w), opacity last.

        Each part is a graph of its own, made when it is asked for: who calls backward on one before
        asking for the next never holds more than one. What is random in a part (views, crops) is
        drawn from `noise` under this step's number.
        """
        ...
