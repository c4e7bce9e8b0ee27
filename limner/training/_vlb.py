"""The variational bound of a diffusion model with a learned variance (Nichol & Dhariwal 2021).

All in nats for each number of the data, (b,); x0 is (b, c, h, w) in [−1, 1], timesteps (b,) count
from 0 to T − 1, and x_t = √ᾱ_t·x0 + √(1−ᾱ_t)·n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Chain", "gaussian_kl"]

_GREYS = 255  # steps between the values of eight bits, from −1 to 1


@dataclass(frozen=True)
class Chain:
    """The Markov chain of a table ᾱ (T,) float64.

    greys:  pictures have 256 values, and L_0 is the probability of each one's bin (Ho et al. 2020,
            eq. 13); else they are any numbers, and L_0 is a density
    """

    table: Tensor
    greys: bool = True

    def before(self) -> Tensor:
        """ᾱ_{t−1}, with 1 before the first."""
        return torch.cat([torch.ones(1, dtype=self.table.dtype), self.table[:-1]])

    def log_variances(self) -> tuple[Tensor, Tensor]:
        """ln β̃_t and ln β_t, between which a network's variance lies (eq. 15); β̃_0 is 0, and so
        β̃_1 in its place, as in the paper's code."""
        betas = 1 - self.table / self.before()
        posterior = betas * (1 - self.before()) / (1 - self.table)
        clipped = torch.cat([posterior[1:2], posterior[1:]])
        return clipped.log(), betas.log()

    def posterior_mean(self, x0: Tensor, x: Tensor, timesteps: Tensor) -> Tensor:
        """E[x_{t−1} | x_t, x0], eq. 10."""
        before, here = self.before()[timesteps], self.table[timesteps]
        betas = 1 - here / before
        of_x0 = before.sqrt() * betas / (1 - here)
        of_x = (here / before).sqrt() * (1 - before) / (1 - here)
        return _wide(of_x0, x) * x0 + _wide(of_x, x) * x

    def log_variance(self, v: Tensor, timesteps: Tensor) -> Tensor:
        """Eq. 15: what the network says in [−1, 1] is between ln β̃ (−1) and ln β (1)."""
        low, high = (_wide(each[timesteps], v) for each in self.log_variances())
        return low.lerp(high, (v + 1) / 2)

    def term(
        self, x0: Tensor, x: Tensor, timesteps: Tensor, said: Tensor, log_variance: Tensor
    ) -> Tensor:
        """L_t: how far p(x_{t−1} | x_t) is from q(x_{t−1} | x_t, x0), and at t = 0 −ln p(x0 | x_1).

        said: what the model takes x0 for. Eq. 4–6.
        """
        mean = self.posterior_mean(said, x, timesteps)
        true = self.posterior_mean(x0, x, timesteps)
        true_log = _wide(self.log_variances()[0][timesteps], x).expand_as(x)
        apart = gaussian_kl(true, true_log, mean, log_variance).flatten(1).mean(1)
        last = _unlikelihood(x0, mean, log_variance, self.greys).flatten(1).mean(1)
        return torch.where((timesteps == 0).to(last.device), last, apart)

    def prior(self, x0: Tensor) -> Tensor:
        """L_T: how far q(x_T | x0) is from N(0, 1)."""
        last = float(self.table[-1])
        log_variance = x0.new_full((), math.log1p(-last))
        zero = x0.new_zeros(())
        return gaussian_kl(math.sqrt(last) * x0, log_variance, zero, zero).flatten(1).mean(1)


def gaussian_kl(mean: Tensor, log_variance: Tensor, other: Tensor, other_log: Tensor) -> Tensor:
    """KL(N(mean, exp log_variance) ‖ N(other, exp other_log)) of each number."""
    apart = (mean - other).square() * torch.exp(-other_log)
    ratio = log_variance - other_log
    return 0.5 * (ratio.exp() - 1 - ratio + apart)


def _unlikelihood(x0: Tensor, mean: Tensor, log_variance: Tensor, greys: bool) -> Tensor:
    """−ln p of each number under N(mean, exp log_variance)."""
    if not greys:
        square = (x0 - mean).square() * torch.exp(-log_variance)
        return 0.5 * (square + log_variance + math.log(2 * math.pi))
    half, narrow = 1 / _GREYS, torch.exp(-0.5 * log_variance)
    above = _below((x0 + half - mean) * narrow)
    under = _below((x0 - half - mean) * narrow)
    above = torch.where(x0 > 1 - half, 1.0, above)  # the outermost bins reach to infinity
    under = torch.where(x0 < half - 1, 0.0, under)
    return -(above - under).clamp(min=1e-12).log()


def _below(x: Tensor) -> Tensor:
    """Φ(x)."""
    return torch.special.ndtr(x)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """(b,) of float64 → (b, 1, 1, 1) of the like's type and device."""
    return values.to(like).view(-1, 1, 1, 1)
