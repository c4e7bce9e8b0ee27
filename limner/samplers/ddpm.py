"""DDPM (Ho et al. 2020): every step draws from the posterior of the next level, given x and x0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser, Reverse
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["ddpm"]


def ddpm(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
) -> Iterator[State]:
    """x' ~ N(a·(σ'/σ)²·x + α'·(b/σ)²·x0, (b·σ'/σ)²), eq. 6–7, with a = α/α', b² = σ² − a²·σ'².

    a and b² are the √α_t and β_t of a schedule that has only these levels, which is how fewer steps
    than were trained are run (Nichol & Dhariwal 2021, eq. 19). A denoiser that can be asked for the
    step's variance (`Reverse`) is, and that stands in the place of (b·σ'/σ)². `previous` is not
    needed.
    """
    for i, level, after in steps(levels, start):
        denoised, variance = _asked(denoiser, x, level, after)
        a = level.alpha / after.alpha
        kept = (after.sigma / level.sigma) ** 2
        b = math.sqrt(max(level.sigma**2 - (a * after.sigma) ** 2, 0.0))
        x = a * kept * x + after.alpha * (b / level.sigma) ** 2 * denoised
        if after.sigma > 0:
            z = noise.normal(x.shape[1:], step=i, purpose="step").to(x)
            wide = b * after.sigma / level.sigma if variance is None else variance.sqrt()
            x = x + wide * z
        yield State(x, denoised, after, i + 1)


def _asked(
    denoiser: Denoiser, x: Tensor, level: Level, after: Level
) -> tuple[Tensor, Tensor | None]:
    """x0, and the variance of the step where the denoiser knows it."""
    if isinstance(denoiser, Reverse):
        return denoiser.reverse(x, level, after)
    return denoiser(x, level), None
