"""Classifier-free guidance (Ho & Salimans 2022), within an interval, with rescaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from limner.denoisers import Conditional
from limner.denoisers._together import together
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["CFG"]


@dataclass(frozen=True)
class CFG:
    """D = D_u + scale · (D_c − D_u): away from the unconditional, past the conditional.

    network:        asked once, with a doubled batch
    condition:      (b, n, d), or (1, n, d) for all pictures
    unconditional:  the empty or negative prompt, likewise
    scale:          1 is no guidance and costs half
    interval:       (from, to) in flow time σ/(α+σ), 0 clean … 1 noise; outside only the
                    conditional half runs (Kynkäänniemi et al. 2024: guidance harms at the noisy
                    end and is wasted at the clean one)
    rescale:        φ in [0, 1] of Lin et al. 2024, eq. 15–16: how far the spread of the guided v
                    goes back to the conditional's, against over-exposure at large scales
    """

    network: Conditional
    condition: Tensor
    unconditional: Tensor
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.interval[0] <= self.interval[1] <= 1:
            raise BadInput(f"guidance interval {self.interval}: give 0 ≤ from ≤ to ≤ 1")
        if not 0 <= self.rescale <= 1:
            raise BadInput(f"guidance rescale {self.rescale}: give a number from 0 to 1")
        if not math.isfinite(self.scale):
            raise BadInput(f"guidance scale {self.scale}: give a finite number")

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → guided x0 (b, c, h, w)."""
        low, high = self.interval
        if self.scale == 1 or not low <= level.time <= high:
            return together(self.network, x, level, [self.condition])[0]
        without, with_ = together(self.network, x, level, [self.unconditional, self.condition])
        guided = without + self.scale * (with_ - without)
        return _rescaled(guided, with_, x, level, self.rescale) if self.rescale else guided


def _rescaled(guided: Tensor, conditional: Tensor, x: Tensor, level: Level, by: float) -> Tensor:
    """x0 whose v has, by the part `by`, the conditional's standard deviation, picture by picture.

    The paper rescales what its network says, v = (α·x − x0)/σ (VP); taking v for every network
    makes the result independent of what the network predicts.
    """
    if level.sigma <= 0:
        return guided
    length = math.hypot(level.alpha, level.sigma)
    alpha, sigma, x = level.alpha / length, level.sigma / length, x / length
    v, aim = (alpha * x - guided) / sigma, (alpha * x - conditional) / sigma
    spread = aim.std((1, 2, 3), keepdim=True) / v.std((1, 2, 3), keepdim=True)
    return alpha * x - sigma * v * (by * spread + 1 - by)
