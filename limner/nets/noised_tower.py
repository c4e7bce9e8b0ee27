"""A tower that looks at noisy latents and is told how noisy they are.

The way down of a diffusion U-Net with a head, as the classifiers of Dhariwal & Nichol 2021 (§4 and
appendix F): residual blocks whose second norm is scaled and shifted by the level, halved between.
Nothing in it depends on the other pictures of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NoisedTower", "waves"]

_WAVES = 64  # sines and cosines of the level, each
_TOLD = 128  # numbers that the blocks are told
_GROUPS = 8  # of every norm
_FASTEST = 1000.0  # waves across the range of levels, as of the timesteps of other networks


class NoisedTower(nn.Module):
    """(b, channels, h, w) of unit variance and their flow times (b,) in [0, 1] → (b, outputs).

    widths: of the blocks of each resolution, multiples of 8; between two, height and width halve
    depth:  blocks of each resolution

    With 8 channels, the usual widths and 192 outputs: 0.69M parameters.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        widths: Sequence[int] = (48, 96, 160),
        depth: int = 1,
    ) -> None:
        super().__init__()
        if not widths or any(width < _GROUPS or width % _GROUPS for width in widths):
            raise ValueError(f"widths {tuple(widths)}: expected multiples of {_GROUPS}")
        if depth < 1:
            raise ValueError(f"depth {depth}: expected at least 1")
        self.level = nn.Sequential(
            nn.Linear(2 * _WAVES, _TOLD), nn.SiLU(), nn.Linear(_TOLD, _TOLD), nn.SiLU()
        )
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        inner = [widths[0], *(w for w in widths for _ in range(depth))][:-1]
        outer = [w for w in widths for _ in range(depth)]
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in zip(inner, outer))
        self.depth = depth
        self.norm = nn.GroupNorm(_GROUPS, widths[-1])
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        told = self.level(waves(times.to(x)))
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        for number, block in enumerate(self.blocks):
            if number and number % self.depth == 0:
                x = functional.avg_pool2d(x, 2)
            x = block(x, told)
        pooled: Tensor = self.head(functional.silu(self.norm(x)).mean((2, 3)))
        return pooled


class _Block(nn.Module):
    """(b, inner, h, w), what is told (b, 128) → (b, outer, h, w)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, inner)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.told = nn.Linear(_TOLD, 2 * outer)
        self.norm2 = nn.GroupNorm(_GROUPS, outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.straight = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        inside = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        inside = self.norm2(inside) * (1 + scale) + shift
        out: Tensor = self.straight(x) + self.conv2(functional.silu(inside))
        return out


def waves(times: Tensor) -> Tensor:
    """(b,) in [0, 1] → (b, 128): sines and cosines of falling frequency (Vaswani et al. 2017)."""
    numbers = torch.arange(_WAVES, dtype=torch.float32, device=times.device)
    frequencies = torch.exp(numbers * (-math.log(10_000) / _WAVES)) * _FASTEST
    angles = times[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1).to(times.dtype)
