"""A network that says ε and how wide each step is (Nichol & Dhariwal 2021, "Improved DDPM")."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import CLEAN, Level, timestep_of

__all__ = ["Learned"]


@dataclass(frozen=True)
class Learned:
    """D(x, level) → x0, and `reverse`, which `ddpm` asks for the variance too.

    network:     network(x, timesteps) → (b, 2·c, h, w), ε and then v, with x (b, c, h, w) at VP
                 levels and timesteps (b,) float32
    alpha_bars:  the table (T,) it was trained on
    limit:       x0 is brought to within ±limit (Ho et al. 2020's code; Saharia et al. 2022,
                 "Imagen", section 2.3); ∞ leaves it
    """

    network: Callable[[Tensor, Tensor], Tensor]
    alpha_bars: Tensor
    limit: float = math.inf

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        return self.reverse(x, level, CLEAN)[0]

    def reverse(self, x: Tensor, level: Level, after: Level) -> tuple[Tensor, Tensor]:
        """x0 and the variance of x at `after` given x, both (b, c, h, w).

        Eq. 15: ln of the variance is (1+v)/2 of the way from ln β̃ to ln β, in the chain that has
        only these two levels (eq. 19); β̃ = β·(σ'/σ)², so it is β·(σ'/σ)^(1−v).
        """
        if level.alpha <= 0:
            raise BadInput(
                "a network that predicts epsilon cannot start from pure noise (alpha 0): choose a "
                "schedule without zero terminal SNR"
            )
        here, there = _preserving(level), _preserving(after)
        scaled = x / math.hypot(*level)
        timestep = timestep_of(self.alpha_bars, level)
        timesteps = torch.full((x.shape[0],), timestep, dtype=torch.float32, device=x.device)
        eps, v = self.network(scaled, timesteps).to(x.dtype).chunk(2, 1)
        x0 = (scaled - here.sigma * eps) / here.alpha
        beta = here.sigma**2 - (here.alpha / there.alpha * there.sigma) ** 2
        ratio = torch.full_like(v, there.sigma / here.sigma)
        variance = math.hypot(*after) ** 2 * max(beta, 0.0) * ratio ** (1 - v)
        return x0.clamp(-self.limit, self.limit), variance


def _preserving(level: Level) -> Level:
    """The VP level with the same σ/α."""
    length = math.hypot(*level)
    return Level(level.alpha / length, level.sigma / length)
