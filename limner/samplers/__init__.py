"""Samplers: from noise to a picture, step by step. They yield; whoever calls watches or stops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise

__all__ = ["Sampler", "State"]


class State(NamedTuple):
    """After a step: x and the level it is now at, the x0 it was made from, the steps done."""

    x: Tensor  # (b, c, h, w)
    denoised: Tensor  # (b, c, h, w), D of the x before: the preview
    level: Level
    step: int


class Sampler(Protocol):
    """x (b, c, h, w) at levels[start] is led down `levels`, one State a step.

    Pure noise is levels[0].sigma · n. `noise` holds b samples; step i draws from it under its own
    number, so a run goes on from a State exactly where it was:
    sampler(denoiser, state.x, levels, noise=…, start=state.step, previous=state.denoised).
    """

    def __call__(
        self, denoiser: Denoiser, x: Tensor, levels: Sequence[Level], *,
        noise: Noise, start: int = 0, previous: Tensor | None = None,
    ) -> Iterator[State]: ...  # fmt: skip
