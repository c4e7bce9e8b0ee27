"""Guidance by a judge's gradient: any judge of limner pulls at what a denoiser expects.

"Universal guidance" (Bansal et al. 2023, eq. 6) and FreeDoM (Yu et al. 2023) are of this
kind; "CLIP-guided diffusion" is it with the judge clip and its views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from limner import judges
from limner.denoisers import Denoiser
from limner.denoisers._pull import check, counts
from limner.errors import BadInput
from limner.levels import Level
from limner.noise import Noise

__all__ = ["Judge"]


@dataclass(frozen=True)
class Judge:
    """D' = D − scale · (σ²/α) · ∇ₓ loss(decode(D(x))), around any denoiser.

    denoiser:  CFG, Compose, another guidance …; asked once
    judge:     of pictures; what is random in it (views) is drawn anew at each level
    decode:    x0 (b, c, h, w) → pictures (b, 3, h', w') about [0, 1], with gradients
    scale:     how much a loss of 1 counts, in nats: samples come from p(x0) · e^(−scale · loss)
    noise:     of the b samples, for what is random in the judge
    interval:  (from, to) in flow time, 0 clean … 1 noise, outside of which nothing pulls
    through:   "denoiser" follows the gradient back into x, through the network; "x0" stops at what
               it said, and costs no more than the judge and `decode`

    As D(x) = E[x0 | x], (σ²/α)·∂D/∂x is the covariance of x0 given x. So the gradient through the
    denoiser lets the judge move x0 only in ways that the model holds possible; "x0" takes
    σ²/(α² + σ²) times the identity for that covariance, which is that of independent latents of
    variance 1. Where it is exact: with a loss that is linear in x0, on a Gaussian ("x0": a white
    one of variance 1). Elsewhere it counts the loss at the mean of x0 for the mean of the loss,
    and so pulls too much at noisy levels, where the two differ.

    At pure noise (α = 0) nothing pulls. Inside another judge's guidance its pull is a constant.
    """

    denoiser: Denoiser
    judge: judges.Judge
    decode: Callable[[Tensor], Tensor]
    scale: float
    noise: Noise
    interval: tuple[float, float] = (0.0, 1.0)
    through: Literal["denoiser", "x0"] = "denoiser"

    def __post_init__(self) -> None:
        check(self.scale, self.interval)
        if self.through not in ("denoiser", "x0"):
            raise BadInput(f"through {self.through!r}: give 'denoiser' or 'x0'")

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → guided x0 (b, c, h, w)."""
        if not counts(self.scale, level, self.interval):
            return self.denoiser(x, level)
        alpha, sigma = level
        if self.through == "x0":
            denoised = self.denoiser(x, level)
            pull = self._slope(denoised, level)
            return denoised - self.scale * sigma**2 / (alpha**2 + sigma**2) * pull
        with torch.enable_grad():
            given = x if x.requires_grad else x.detach().requires_grad_()
            denoised = self.denoiser(given, level)
        pull = self._slope(denoised, level)
        (pull,) = torch.autograd.grad(denoised, given, pull, retain_graph=x.requires_grad)
        own = denoised if x.requires_grad else denoised.detach()
        return own - self.scale * sigma**2 / alpha * pull

    def _slope(self, denoised: Tensor, level: Level) -> Tensor:
        """∇ of the loss in x0 (b, c, h, w), of its shape; a part of the judge's at a time."""
        with torch.enable_grad():
            x0 = denoised.detach().requires_grad_()
            pictures = self.decode(x0)
            shown = pictures.detach().requires_grad_()
            slope = torch.zeros_like(shown)
            for part in self.judge.losses(shown, self.noise, _number(level)):
                slope += torch.autograd.grad(part.sum(), shown)[0]
        (pull,) = torch.autograd.grad(pictures, x0, slope.to(pictures))
        return pull


def _number(level: Level) -> int:
    """A number for each level, the same in any run: under it the judge draws."""
    return round(level.time * 2**40)
