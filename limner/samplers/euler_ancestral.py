"""Euler ancestral (k-diffusion): Euler goes further down than asked, fresh noise leads back up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["euler_ancestral"]


def euler_ancestral(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
    eta: float = 1.0,
) -> Iterator[State]:
    """x' = α'·(x0 + down·n + up·z), down² = r'² − up², up = η·(r'/r)·√(r² − r'²) ≤ r', r = σ/α.

    η = 1 keeps every level's distribution as DDPM does, η = 0 is Euler. `previous` is not needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        # r'/r and √(1 − (r'/r)²), which unlike r are finite at α = 0.
        shrink = after.ratio * level.alpha / level.sigma
        up = min(eta * after.ratio * math.sqrt(1 - shrink**2), after.ratio)
        down = math.sqrt(after.ratio**2 - up**2)
        n = (x - level.alpha * denoised) / level.sigma
        x = after.alpha * (denoised + down * n)
        if up > 0:
            z = noise.normal(x.shape[1:], step=i, purpose="step").to(x)
            x = x + after.alpha * up * z
        yield State(x, denoised, after, i + 1)
