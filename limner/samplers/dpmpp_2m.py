"""DPM-Solver++(2M) (Lu et al. 2022): second order for the price of one evaluation a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import extrapolated, steps

__all__ = ["dpmpp_2m"]


def dpmpp_2m(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
) -> Iterator[State]:
    """x' = (σ'/σ)·x + (α' − α·σ'/σ)·D̃: Euler's step, with x0 extrapolated to the step's middle.

    Algorithm 2; α·σ'/σ is its α'·e^−h. The first step, and the step to clean, are of first order.
    To go on from a State give its denoised as `previous`. `noise` is not needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        kept = after.sigma / level.sigma
        middle = extrapolated(denoised, previous, levels, i)
        x = kept * x + (after.alpha - level.alpha * kept) * middle
        previous = denoised
        yield State(x, denoised, after, i + 1)
