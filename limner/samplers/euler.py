"""Euler's method on the probability flow (Karras et al. 2022, eq. 4, with α = 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["euler"]


def euler(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
) -> Iterator[State]:
    """Along d(x/α)/d(σ/α) = n, on the line through x and x0: x' = (σ'/σ)·x + (α' − α·σ'/σ)·x0.

    In this form the step is one for VP, VE and flow levels, holds at α = 0, and is DDIM with η = 0.
    First order, one evaluation. `noise` and `previous` are not needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        kept = after.sigma / level.sigma
        x = kept * x + (after.alpha - level.alpha * kept) * denoised
        yield State(x, denoised, after, i + 1)
