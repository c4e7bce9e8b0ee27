"""A network that sees only what is near, on pictures too large for one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["Tiled"]

_Part = tuple[slice, slice]  # what is asked for, and what the network is shown for it


@dataclass(frozen=True)
class Tiled:
    """D of a whole x, asked of the network part by part: no seam, and no picture too large.

    Each evaluation is put together before the sampler goes on, so that what comes out is what one
    pass would give, wherever nothing that the network says depends on more than `margin` around it.

    network:    its `beside`, where it has one, is as large as x
    condition:  (1 or b, n, d)
    tile:       side of a part, at most, a multiple of `by`
    margin:     by how much more than a part it is shown, on each side, a multiple of `by`
    by:         the network's sides are multiples of this
    """

    network: Network
    condition: Tensor
    tile: int
    margin: int
    by: int = 1

    def __post_init__(self) -> None:
        if self.tile < 1 or self.tile % self.by or self.margin < 0 or self.margin % self.by:
            raise BadInput(
                f"tile {self.tile} with margin {self.margin}: give multiples of {self.by}"
            )

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        height, width = x.shape[-2:]
        rows, columns = list(self._parts(height)), list(self._parts(width))
        if len(rows) == len(columns) == 1:
            return self.network(x, level, self.condition)
        out = torch.empty_like(x)
        for down, seen_down in rows:
            for across, seen_across in columns:
                seen = (slice(None), slice(None), seen_down, seen_across)
                said = self._cut(seen)(x[seen], level, self.condition)
                top, left = down.start - seen_down.start, across.start - seen_across.start
                high, wide = down.stop - down.start, across.stop - across.start
                out[:, :, down, across] = said[:, :, top : top + high, left : left + wide]
        return out

    def _parts(self, length: int) -> Iterator[_Part]:
        """Along one axis; one part alone where it and its margins would be no less."""
        tile = length if length <= self.tile + 2 * self.margin else self.tile
        for start in range(0, length, tile):
            stop = min(start + tile, length)
            seen = slice(max(0, start - self.margin), min(length, stop + self.margin))
            yield slice(start, stop), seen

    def _cut(self, seen: tuple[slice, ...]) -> Network:
        beside = self.network.beside
        return self.network if beside is None else replace(self.network, beside=beside[seen])
