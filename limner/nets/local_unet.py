"""A U-Net that sees no farther than it needs: what it says of a place depends on what is near it.

Networks of the kept libraries normalise over the whole picture (GroupNorm) or attend to all of it,
so that a picture in parts comes out otherwise than at once. Here nothing does; residual blocks
without norms are what networks for this task have had since EDSR (Lim et al. 2017, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.nets.noised_tower import waves

__all__ = ["LocalUNet"]

_WAVES = 128  # numbers that `waves` makes of one
_MOST = 16  # resolutions, and blocks of each


class LocalUNet(nn.Module):
    """(b, inner, h, w) and what is told of it (b, k), each in [0, 1] → (b, outer, h, w).

    h and w are multiples of `by`. Between resolutions sides halve; on the way up what was there on
    the way down is added (Ronneberger et al. 2015).

    widths: of the blocks of each resolution
    depth:  blocks of each resolution, down and up, and in the middle
    told:   how many numbers are told: levels of noise
    heard:  numbers that the blocks make of them

    With 15 and 12 channels and the usual widths: 0.7M parameters.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        widths: Sequence[int] = (40, 56, 80),
        depth: int = 2,
        told: int = 2,
        heard: int = 64,
    ) -> None:
        super().__init__()
        if not 1 <= len(widths) <= _MOST or not 1 <= depth <= _MOST:
            raise ValueError(f"{len(widths)} widths, depth {depth}: expected 1 to {_MOST} of each")
        self.depth = depth
        self.level = nn.Sequential(
            nn.Linear(told * _WAVES, heard), nn.SiLU(), nn.Linear(heard, heard), nn.SiLU()
        )
        self.first = nn.Conv2d(inner, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Blocks(w, depth, heard) for w in widths[:-1])
        self.smaller = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in pairwise(widths))
        self.middle = _Blocks(widths[-1], depth, heard)
        self.larger = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_Blocks(w, depth, heard) for w in widths[:-1])
        self.last = nn.Conv2d(widths[0], outer, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    @property
    def by(self) -> int:
        """What sides are multiples of."""
        return 2 ** len(self.smaller)

    @property
    def reach(self) -> int:
        """How far from a place lies what it depends on, at most, as a multiple of `by`."""
        blocks = sum(2 * 2 * self.depth * 2**k for k in range(len(self.smaller)))
        far = 2 + blocks + 2 * self.depth * self.by + (self.by - 1)
        return -(-far // self.by) * self.by

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        numbers = waves(told.flatten()).view(len(told), -1)
        heard = self.level(numbers.to(x.dtype))
        x = self.first(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for blocks, smaller in zip(self.down, self.smaller):
            x = blocks(x, heard)
            kept.append(x)
            x = smaller(x)
        x = self.middle(x, heard)
        for blocks, larger in zip(reversed(self.up), reversed(self.larger)):
            x = kept.pop() + functional.pixel_shuffle(larger(x), 2)
            x = blocks(x, heard)
        said: Tensor = self.last(functional.silu(x))
        return said


class _Blocks(nn.Module):
    """(b, width, h, w), what was heard (b, heard) → (b, width, h, w)."""

    def __init__(self, width: int, depth: int, heard: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(width, heard) for _ in range(depth))

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, heard)
        return x


class _Block(nn.Module):
    """x + conv(silu(scaled and shifted conv(silu(x)))), at first x itself."""

    def __init__(self, width: int, heard: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.heard = nn.Linear(heard, 2 * width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        inside = self.conv1(functional.silu(x))
        scale, shift = self.heard(heard)[:, :, None, None].chunk(2, 1)
        out: Tensor = x + self.conv2(functional.silu(inside * (1 + scale) + shift))
        return out
