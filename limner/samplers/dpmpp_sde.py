"""SDE-DPM-Solver++(2M) (Lu et al. 2022), elsewhere "DPM++ 2M SDE": dpmpp_2m with fresh noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import extrapolated, steps

__all__ = ["dpmpp_sde"]


def dpmpp_sde(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
    eta: float = 1.0,
) -> Iterator[State]:
    """x' = (σ'/σ)·q^η·x + α'·(1 − q^(1+η))·D̃ + σ'·√(1 − q^2η)·z, with q = e^−h = (α·σ')/(σ·α').

    η = 1 is the paper's (§5); smaller η lessens the noise down to η = 0, which is dpmpp_2m. One
    evaluation a step. To go on from a State give its denoised as `previous`.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        q = level.alpha * after.sigma / (level.sigma * after.alpha)
        middle = extrapolated(denoised, previous, levels, i)
        # (σ'/σ)·q^η, whose q^0 must be 1 at α = 0 too, as Python's is.
        x = after.sigma / level.sigma * q**eta * x + after.alpha * (1 - q ** (1 + eta)) * middle
        added = after.sigma * math.sqrt(1 - q ** (2 * eta))
        if added > 0:
            x = x + added * noise.normal(x.shape[1:], step=i, purpose="step").to(x)
        previous = denoised
        yield State(x, denoised, after, i + 1)
