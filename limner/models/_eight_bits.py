"""Large matrices and convolutions in whole numbers of eight bits, where a network is compiled.

Processors that multiply bfloat16 multiply eight bits twice as fast. What goes in is rounded to 255
steps of its own size, a step for each token of a matrix and each picture of a convolution, so that
nothing is measured beforehand and no picture depends on its neighbours; the weights have a step for
each row (Dettmers et al. 2022, "LLM.int8()", §2, with vectors for both).

What stands here says so in torch's operators for rounded numbers: torch's compiler makes them
oneDNN's products of whole numbers, and anybody else gets the same result, more slowly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["EITHER", "SILU", "conv2d", "linear", "possible"]

EITHER = 128  # the number of 0 … 255 that stands for 0, where values are of either sign
SILU = 16  # and where SiLU made them, whose least is _LEAST
_LEAST = -0.2785
_TINY = 1e-12  # the step of nothing but zeros


def possible() -> bool:
    """Whether this processor has instructions for it."""
    return torch.cpu._is_vnni_supported()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, zero: int) -> Tensor:
    """x (…, inner), the weight (outer, inner), bfloat16 → (…, outer)."""
    numbers, step = _numbers(x, (-1,), zero)
    said = functional.linear(numbers, _rounded(weight)) * step
    return (said if bias is None else said + bias).to(x.dtype)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    zero: int,
) -> Tensor:
    """x (b, inner, h, w), the weight (outer, inner, k, k), bfloat16 → (b, outer, h', w')."""
    numbers, step = _numbers(x, (1, 2, 3), zero)
    said = functional.conv2d(numbers, _rounded(weight), None, stride, padding) * step
    return (said if bias is None else said + bias[:, None, None]).to(x.dtype)


def _numbers(x: Tensor, dims: tuple[int, ...], zero: int) -> tuple[Tensor, Tensor]:
    """x as whole numbers of 0−zero … 255−zero, and the size of their step along `dims`, float32."""
    wide = x.float()
    size = wide.abs() if zero == EITHER else wide
    least = _TINY if zero == EITHER else -_LEAST / zero
    step = (size.amax(dims, keepdim=True) / (255 - zero)).clamp(min=least)
    numbers = (wide / step).round().add(zero).clamp(0, 255).to(torch.uint8)
    undo = torch.ops.quantized_decomposed.dequantize_per_tensor
    return undo(numbers, 1.0, zero, 0, 255, torch.uint8).to(x.dtype), step


def _rounded(weight: Tensor) -> Tensor:
    """The weight, each of its rows as whole numbers of −127 … 127 times a step; it comes out as a
    constant of the compiled network."""
    wide = weight.float()
    steps = (wide.flatten(1).abs().amax(1) / 127).clamp(min=_TINY)
    numbers = (wide / steps.view(-1, *[1] * (weight.ndim - 1))).round().to(torch.int8)
    zeros = torch.zeros_like(steps, dtype=torch.int64)
    undo = torch.ops.quantized_decomposed.dequantize_per_channel
    return undo(numbers, steps, zeros, 0, -127, 127, torch.int8).to(weight.dtype)
