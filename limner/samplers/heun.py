"""Heun's method on the probability flow (Karras et al. 2022, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["heun"]


def heun(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
) -> Iterator[State]:
    """An Euler step, and again with the mean of the directions at its two ends.

    Second order; two evaluations a step, one in the step to clean. `noise` and `previous` are not
    needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        n = (x - level.alpha * denoised) / level.sigma
        guess = after.alpha * denoised + after.sigma * n
        if after.sigma <= 0:
            x = guess
        else:
            there = denoiser(guess, after)
            other = (guess - after.alpha * there) / after.sigma
            x = _mean_step(x, level, after, (n + other) / 2, (denoised + there) / 2)
        yield State(x, denoised, after, i + 1)


def _mean_step(x: Tensor, level: Level, after: Level, n: Tensor, x0: Tensor) -> Tensor:
    """The step along the mean direction.

    In x/α over σ/α as in the paper; from α = 0, where that is infinite, in x/(α+σ) over the flow
    time σ/(α+σ), whose direction is n − x0.
    """
    if level.alpha > 0:
        return after.alpha / level.alpha * (x - level.sigma * n) + after.sigma * n
    scale = after.alpha + after.sigma
    return scale * (x / level.sigma + (after.time - level.time) * (n - x0))
