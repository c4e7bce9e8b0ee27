"""Decoding a large picture in tiles that overlap: the memory is that of one tile.

A tile sees nothing beyond its edge and has norms of its own, so that two of them differ a little
where they meet: there one fades into the other (each pixel's weights sum to 1), and no seam is
left.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["OVERLAP", "TILE", "tiled"]

TILE, OVERLAP = 64, 16  # latents


def tiled(
    decode: Callable[[Tensor], Tensor], latents: Tensor, tile: int = TILE, overlap: int = OVERLAP
) -> Tensor:
    """Latents (b, c, h, w) → pictures (b, 3, f·h, f·w) as `decode` makes them, one picture and one
    tile (1, c, ≤ tile, ≤ tile) at a time."""
    return torch.cat([_one(decode, latent[None], tile, overlap) for latent in latents])


def _one(decode: Callable[[Tensor], Tensor], latent: Tensor, tile: int, overlap: int) -> Tensor:
    rows, columns = (_starts(side, tile, overlap) for side in latent.shape[2:])
    if len(rows) == len(columns) == 1:
        return decode(latent)
    out = total = latent.new_zeros(())
    for top in rows:
        for left in columns:
            part = latent[:, :, top : top + tile, left : left + tile]
            drawn = decode(part)
            by = drawn.shape[2] // part.shape[2]
            if out.ndim == 0:
                size = (latent.shape[2] * by, latent.shape[3] * by)
                out = drawn.new_zeros(1, drawn.shape[1], *size, dtype=torch.float32)
                total = out.new_zeros(1, 1, *size)
            fade = _fade(drawn.shape[2], overlap * by, out)[:, None] * _fade(
                drawn.shape[3], overlap * by, out
            )
            here = (..., slice(top * by, (top + tile) * by), slice(left * by, (left + tile) * by))
            out[here] += drawn * fade
            total[here] += fade
    return out / total


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side, evenly, each over the last by `overlap` at least."""
    if side <= tile:
        return [0]
    count = -(-(side - overlap) // (tile - overlap))
    return [round(i * (side - tile) / (count - 1)) for i in range(count)]


def _fade(length: int, overlap: int, like: Tensor) -> Tensor:
    """(length,): rises from an edge over the overlap, 1 within."""
    place = torch.arange(length, device=like.device, dtype=like.dtype) + 0.5
    return (torch.minimum(place, length - place) / overlap).clamp(max=1)
