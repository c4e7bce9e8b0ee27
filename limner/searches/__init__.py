"""Searches: a generator's latent is moved until a judge agrees. They yield; callers watch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from limner.generators import Generator, Latent
from limner.judges import Judge
from limner.noise import Noise

__all__ = ["Search", "State"]


@dataclass(frozen=True)
class State:
    """After `step` steps: all that is needed to go on from here, bit for bit."""

    step: int
    latent: Latent
    loss: Tensor  # (b,), of the pictures before this step
    best: Latent  # of each picture, where its loss was lowest
    best_loss: Tensor  # (b,)
    memory: dict[str, Tensor]  # the search's own: moments, averages, a population


class Search(Protocol):
    """b pictures are b independent searches in one pass; `noise` holds b samples."""

    def __call__(
        self, generator: Generator, judge: Judge, *, noise: Noise, steps: int,
        start: Latent | State | None = None,
    ) -> Iterator[State]: ...  # fmt: skip
