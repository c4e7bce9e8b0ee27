"""What guidance by a gradient has in common: where it counts, and what it does to x0."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import Level

__all__ = ["check", "counts", "slope"]


def check(scale: float, interval: tuple[float, float]) -> None:
    """BadInput unless it is a finite scale, and 0 ≤ from ≤ to ≤ 1."""
    if not math.isfinite(scale):
        raise BadInput(f"guidance scale {scale}: give a finite number")
    if not (len(interval) == 2 and 0 <= interval[0] <= interval[1] <= 1):
        raise BadInput(f"guidance interval {interval}: give 0 ≤ from ≤ to ≤ 1")


def counts(scale: float, level: Level, interval: tuple[float, float]) -> bool:
    """Whether a level is guided: never pure noise, where x says nothing of the picture and its
    gradient times σ²/α is 0 times infinity."""
    return scale != 0 and level.alpha > 0 and interval[0] <= level.time <= interval[1]


def slope(of: Callable[[Tensor], Tensor], x: Tensor, level: Level) -> Tensor:
    """(σ²/α)·∇ₓ Σ of(x): what a log density's gradient in x (b, c, h, w) is to x0, of x's shape.

    of: x → (b,), row k of picture k alone

    x0 = (x + σ²·∇ₓ log p(x))/α (Tweedie; Efron 2011), so who multiplies p by a likelihood adds
    (σ²/α)·∇ₓ of its logarithm to x0.
    """
    with torch.enable_grad():
        given = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(of(given).sum(), given)
    return level.sigma**2 / level.alpha * gradient
