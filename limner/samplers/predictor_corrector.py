"""Predictor–corrector (Song et al. 2021, "Score-based generative modeling through stochastic
differential equations", §4.2): after each step of ddpm, Langevin steps at the level it led to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["predictor_corrector"]


def predictor_corrector(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
    snr: float = 0.16,
    corrections: int = 1,
) -> Iterator[State]:
    """x' as in ddpm (ancestral sampling, appendix F); then x' ← x' + ε·g + √(2ε)·z, `corrections`
    times, with the score g = (α'·D(x') − x')/σ'², algorithms 4 and 5.

    ε = 2·a²·(snr·‖z‖/‖g‖)², each picture by its own norms; a² is how much of the level's variance a
    step keeps, (α/α')², as the 1 − β of algorithm 5 and the 1 of algorithm 4 (VE). None at CLEAN,
    where there is no score. `previous` is not needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        a = level.alpha / after.alpha
        kept = (after.sigma / level.sigma) ** 2
        b = math.sqrt(max(level.sigma**2 - (a * after.sigma) ** 2, 0.0))
        x = a * kept * x + after.alpha * (b / level.sigma) ** 2 * denoised
        if after.sigma > 0:
            z = noise.normal(x.shape[1:], step=i, purpose="step").to(x)
            x = x + b * after.sigma / level.sigma * z
        for k in range(corrections if after.sigma > 0 else 0):
            z = noise.normal(x.shape[1:], step=i, purpose=f"correction {k}").to(x)
            x = _corrected(denoiser, x, after, z, snr, keeps=a**2)
        yield State(x, denoised, after, i + 1)


def _corrected(
    denoiser: Denoiser, x: Tensor, level: Level, z: Tensor, snr: float, keeps: float
) -> Tensor:
    """One step of Langevin dynamics within a level's distribution."""
    score = (level.alpha * denoiser(x, level) - x) / level.sigma**2
    ratio = _norm(z) / _norm(score).clamp(min=1e-12)
    size = 2 * keeps * (snr * ratio) ** 2
    return x + size * score + (2 * size).sqrt() * z


def _norm(x: Tensor) -> Tensor:
    """(b, c, h, w) → (b, 1, 1, 1)."""
    return x.square().sum((1, 2, 3), keepdim=True).sqrt()
