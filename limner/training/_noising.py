"""Levels drawn for a training, latents under noise, and what a network is to say of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Noising"]


@dataclass(frozen=True, eq=False)
class Noising:
    """How latents are noised for a network of this prediction.

    table:    ᾱ of its timesteps, float64; None for flow
    spread:   mean and standard deviation of the logit of the flow time: levels are logit-normal
              there (Esser et al. 2024, section 3.1), whatever the network's family
    uniform:  the share of levels drawn evenly from the table instead, so that its ends are seen
    """

    prediction: str
    table: Tensor | None
    spread: tuple[float, float] = (0.0, 1.0)
    uniform: float = 0.15

    def timesteps(self, count: int, rng: np.random.Generator) -> Tensor:
        """(count,): indices of the table, or 1000·t for flow."""
        logit = torch.from_numpy(rng.normal(*self.spread, count))
        evenly = torch.from_numpy(rng.random(count))
        even = torch.from_numpy(rng.random(count) < self.uniform)
        if self.table is None:
            return 1000 * torch.where(even, evenly, logit.sigmoid())
        # flow time t has α/σ = (1 − t)/t; the table's entry with the same ratio
        of_table = torch.logit(self.table.clamp(1e-12, 1 - 1e-12))  # log SNR, falling
        nearest = torch.searchsorted(-of_table, 2 * logit).clamp(max=len(self.table) - 1)
        return torch.where(even, (evenly * len(self.table)).long(), nearest)

    def level(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ (b,) of x = α·x0 + σ·n."""
        if self.table is None:
            return 1 - timesteps / 1000, timesteps / 1000
        alpha_bar = self.table[timesteps]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """x and what the network is to say of it, both like latents (b, c, h, w)."""
        alpha, sigma = (each.to(latents).view(-1, 1, 1, 1) for each in self.level(timesteps))
        target = {
            "epsilon": noise,
            "v_prediction": alpha * noise - sigma * latents,  # Salimans and Ho 2022, appendix D
            "sample": latents,
            "flow": noise - latents,
        }[self.prediction]
        x = (alpha * latents + sigma * noise).contiguous(memory_format=torch.channels_last)
        return x, target
