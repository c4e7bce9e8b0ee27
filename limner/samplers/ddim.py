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


def invert(
    denoiser: Denoiser, x: Tensor, levels: Sequence[Level], *, rounds: int = 0
) -> Iterator[State]:
    """The picture's own noise: η = 0 run upward, from clean x (b, c, h, w) to levels[0].

    `levels` is the schedule as for `ddim` (noisy to clean), so that
    ddim(denoiser, state.x, levels, …) with the last state leads back to x: nearer with more steps,
    and with `rounds` above 0, each of which asks once more a step. They mend what makes inversion
    inexact, that a step up asks at its lower end what the step down asks at its upper one: the step
    is taken again from where it led to (Garibi et al. 2024, "ReNoise", §3.2; Pan et al. 2023,
    "AIDI", eq. 6), until that is a fixed point.
    At CLEAN no noise tells n, so the network is asked of the picture at the next level's scale.
    """
    upward = [(a, b) for _, b, a in steps(levels, 0)][::-1]
    for done, (level, after) in enumerate(upward):
        asked = level if level.sigma > 0 else after
        at = x * (asked.alpha / level.alpha)
        denoised = denoiser(at, asked)
        up = _raised(x, (at - asked.alpha * denoised) / asked.sigma, level, after)
        lost = (
            after.alpha <= 0 and level.sigma <= 0
        )  # from clean to pure noise: x has no part in it
        for _ in range(0 if lost else rounds):
            denoised = denoiser(up, after)
            up = _undone(x, up, denoised, level, after)
        x = up
        yield State(x, denoised, after, done + 1)


def _raised(x: Tensor, n: Tensor, level: Level, after: Level) -> Tensor:
    """The line through x with direction n; away from CLEAN it is α'·x0 + σ'·n."""
    return after.alpha / level.alpha * x + (after.sigma - after.alpha * level.ratio) * n


def _undone(x: Tensor, up: Tensor, denoised: Tensor, level: Level, after: Level) -> Tensor:
    """Where a step down, of what is said at `up`, would lead to x.

    Written in n it comes nearer for any network whose α'·dD/dx is between 0 and 1, as that of a
    Gaussian is; at α' = 0 n says nothing of x0, and it is written in x0.
    """
    if after.alpha > 0:
        return _raised(x, (up - after.alpha * denoised) / after.sigma, level, after)
    return after.sigma / level.sigma * (x - level.alpha * denoised)
