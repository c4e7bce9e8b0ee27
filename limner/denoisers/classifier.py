"""Guidance by who looks at the noisy x: a classifier, or a CLIP that was taught noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers._pull import check, counts, slope
from limner.levels import Level

__all__ = ["Classifier", "Likelihood"]


class Likelihood(Protocol):
    """How well noisy x agree with what is asked for."""

    def __call__(self, x: Tensor, level: Level, /) -> Tensor:
        """x (b, c, h, w) at `level`, of any family → log p(y | x) (b,) up to a constant, with
        gradients; row k of x's row k alone."""
        ...


@dataclass(frozen=True)
class Classifier:
    """D' = D + scale · (σ²/α) · ∇ₓ log p(y | x), around any denoiser.

    denoiser:    asked once
    likelihood:  log p(y | x at its level). Of a classifier, its log probability of the class
                 (Dhariwal & Nichol 2021, algorithm 1: they say it of ε); of a CLIP on noisy x, the
                 product of the embeddings (Nichol et al. 2022, "GLIDE", §2.4)
    scale:       1 samples p(x0 | y) where both are exact; more, p(x0) · p(y | x0)^scale roughly
    interval:    (from, to) in flow time, 0 clean … 1 noise, outside of which nothing pulls

    At pure noise (α = 0), where x says nothing of y, nothing pulls.
    """

    denoiser: Denoiser
    likelihood: Likelihood
    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check(self.scale, self.interval)

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → guided x0 (b, c, h, w)."""
        denoised = self.denoiser(x, level)
        if not counts(self.scale, level, self.interval):
            return denoised
        pull = slope(lambda given: self.likelihood(given, level), x, level)
        return denoised + self.scale * pull
