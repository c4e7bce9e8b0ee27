"""The exact denoiser of a mixture of Gaussians: a world whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import Level

__all__ = ["GaussianMixture"]


@dataclass(frozen=True)
class GaussianMixture:
    """E[x0 | x] where x0 ~ Σ w_k N(μ_k, s_k²·1), in closed form, at any level.

    means:    μ (k, c, h, w)
    stds:     s (k,), above 0
    weights:  w (k,), above 0; scaled to sum to 1

    For trying and testing samplers without a network: whatever is wrong is then the sampler.
    """

    means: Tensor
    stds: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        k = len(self.means)
        if self.means.ndim != 4 or self.stds.shape != (k,) or self.weights.shape != (k,):
            shapes = [tuple(t.shape) for t in (self.means, self.stds, self.weights)]
            raise BadInput(f"means, stds, weights of shapes {shapes}: give (k,c,h,w), (k,), (k,)")
        if not (bool((self.stds > 0).all()) and bool((self.weights > 0).all())):
            raise BadInput("stds and weights must all be above 0")

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → E[x0 | x] (b, c, h, w).

        x given component k is N(α·μ_k, α²·s_k² + σ²), which weighs the components; the mean of x0
        given both is μ_k + α·s_k² / (α²·s_k² + σ²) · (x − α·μ_k).
        """
        alpha, sigma = level
        means, stds = self.means.to(x), self.stds.to(x)
        variances = alpha**2 * stds**2 + sigma**2  # (k,)
        away = x[:, None] - alpha * means  # (b, k, c, h, w)
        square = away.flatten(2).square().sum(2)  # (b, k)
        size = means[0].numel()
        logs = self.weights.to(x).log() - size / 2 * variances.log() - square / (2 * variances)
        share = torch.softmax(logs, 1)[:, :, None, None, None]
        gain = (alpha * stds**2 / variances)[:, None, None, None]
        return (share * (means + gain * away)).sum(1)
