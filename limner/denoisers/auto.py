"""Autoguidance (Karras et al. 2024, "Guiding a diffusion model with a bad version of itself")."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers._pull import check
from limner.levels import Level

__all__ = ["Auto"]


@dataclass(frozen=True)
class Auto:
    """D' = D_weak + scale · (D − D_weak), eq. 4: away from errors of which the weak one has more.

    denoiser:  the good one
    weak:      one of the same kind and under the same condition, but worse: trained less (an
               earlier checkpoint), or smaller
    scale:     1 is no guidance and asks the good one alone
    interval:  (from, to) in flow time, 0 clean … 1 noise; outside the good one speaks alone
    """

    denoiser: Denoiser
    weak: Denoiser
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check(self.scale, self.interval)

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → guided x0 (b, c, h, w)."""
        denoised = self.denoiser(x, level)
        if self.scale == 1 or not self.interval[0] <= level.time <= self.interval[1]:
            return denoised
        weak = self.weak(x, level)
        return weak + self.scale * (denoised - weak)
