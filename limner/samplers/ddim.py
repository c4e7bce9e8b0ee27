"""DDIM (Song et al. 2021): from no noise (η = 0, reversible) to as much as DDPM adds (η = 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["ddim", "invert"]


def ddim(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
    eta: float = 0.0,
) -> Iterator[State]:
    """x' = α'·x0 + √(σ'² − s²)·n + s·z, eq. 12; s = η·(σ'/σ)·√(σ² − (α/α')²·σ'²), eq. 16.

    Eq. 16's √(1 − ᾱ/ᾱ') is written as what is left of σ once σ' is taken out of it, which also
    holds for VE and flow levels. `previous` is not needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        n = (x - level.alpha * denoised) / level.sigma
        added = level.sigma**2 - (level.alpha / after.alpha * after.sigma) ** 2
        s = eta * after.sigma / level.sigma * math.sqrt(max(added, 0.0))
        x = after.alpha * denoised + math.sqrt(max(after.sigma**2 - s**2, 0.0)) * n
        if s > 0:
            x = x + s * noise.normal(x.shape[1:], step=i, purpose="step").to(x)
        yield State(x, denoised, after, i + 1)


def invert(denoiser: Denoiser, x: Tensor, levels: Sequence[Level]) -> Iterator[State]:
    """The picture's own noise: η = 0 run upward, from clean x (b, c, h, w) to levels[0].

    `levels` is the schedule as for `ddim` (noisy to clean), so that
    ddim(denoiser, state.x, levels, …) with the last state leads back to x, nearer with more steps.
    At CLEAN no noise tells n, so the network is asked of the picture at the next level's scale.
    """
    upward = [(a, b) for _, b, a in steps(levels, 0)][::-1]
    for done, (level, after) in enumerate(upward):
        asked = level if level.sigma > 0 else after
        at = x * (asked.alpha / level.alpha)
        denoised = denoiser(at, asked)
        n = (at - asked.alpha * denoised) / asked.sigma
        # The line through x with direction n; away from CLEAN it is α'·x0 + σ'·n.
        x = after.alpha / level.alpha * x + (after.sigma - after.alpha * level.ratio) * n
        yield State(x, denoised, after, done + 1)
