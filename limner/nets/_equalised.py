"""Layers whose weights start with unit variance and are scaled where they are used.

Adam then moves every layer at the same relative speed: the equalised learning rate of Karras et al.
2018, "Progressive Growing of GANs", section 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GAIN", "TAPS", "Conv2d", "Linear", "activate", "blur", "upsample"]

SLOPE = 0.2  # of the leaky rectifier
# √2 with the rectifier keeps the variance about 1. The published networks have it behind, but
# leaky_relu(g·x) = g·leaky_relu(x), and in the weights it costs no pass over the maps.
GAIN = math.sqrt(2)
TAPS = (1, 3, 3, 1)  # of the binomial low-pass filter of StyleGAN2, along each axis


def activate(x: Tensor) -> Tensor:
    """leaky_relu(x), any shape; whoever makes x has put the gain of √2 before it."""
    return functional.leaky_relu(x, SLOPE)


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """(b, c, h, w) filtered by the taps on each axis, their sum `gain`; zeros around.

    The sides change by 2·padding − 3.
    """
    taps = torch.tensor(TAPS, dtype=x.dtype, device=x.device) / sum(TAPS)
    filters = (gain * taps[:, None] * taps).expand(x.shape[1], 1, -1, -1)
    return functional.conv2d(x, filters, padding=padding, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """(b, c, h, w) → (b, c, 2h, 2w): zeros between the pixels, then the low-pass filter."""
    b, c, h, w = x.shape
    spread = x.new_zeros(b, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    # One more zero before than after: the first pixel stands between the first two new ones.
    return blur(functional.pad(spread.view(b, c, 2 * h, 2 * w), (2, 1, 2, 1)), 0, 4.0)


class Linear(nn.Module):
    """A matrix product times a gain; `rate` is its learning rate's factor, `bias` where its biases
    start."""

    def __init__(
        self, inner: int, outer: int, *, gain: float = 1.0, rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner) / rate)
        self.bias = nn.Parameter(torch.full((outer,), bias / rate))
        self.scale = gain * rate

    def forward(self, x: Tensor) -> Tensor:
        """(…, inner) → (…, outer)."""
        weight = self.weight * (self.scale / math.sqrt(self.weight.shape[1]))
        return functional.linear(x, weight, self.bias * self.scale)


class Conv2d(nn.Module):
    """A convolution times a gain; of stride 2 it takes no zeros around, for what was blurred."""

    def __init__(
        self,
        inner: int,
        outer: int,
        side: int,
        *,
        gain: float = 1.0,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outer, inner, side, side))
        self.bias = nn.Parameter(torch.zeros(outer)) if bias else None
        self.gain, self.stride, self.padding = gain, stride, side // 2 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """(b, inner, h, w) → (b, outer, h, w), or half the sides less the border."""
        weight = self.weight * (self.gain / math.sqrt(self.weight[0].numel()))
        bias = self.gain * self.bias if self.bias is not None else None
        return functional.conv2d(x, weight, bias, self.stride, self.padding)
