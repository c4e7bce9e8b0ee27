"""A clamp that lets what went out of range come back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["clamp"]


def clamp(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """x, of any shape, in [low, high].

    The gradient passes, but for values out of range whose descent would lead further out: a plain
    clamp stops the others too, and what once left would never return.
    """
    clamped: Tensor = _Clamp.apply(x, low, high)
    return clamped


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,), (grad,) = ctx.saved_tensors, grads
        outward = grad * (x - x.clamp(*ctx.bounds)) < 0  # descent goes against the gradient
        return grad.masked_fill(outward, 0), None, None
