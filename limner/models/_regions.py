"""Regions with phrases as channels beside a latent (SpaText, Avrahami et al. 2023, section 3).

A phrase's embedding is laid out over its region; where regions overlap the later one is on top.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["boxes_cover", "laid_out"]


def boxes_cover(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each cell a box covers, exactly.

    boxes:  (…, 4): x0, y0, x1, y1 in shares of the picture, the far ends exclusive
    size:   cells, (h, w)
    → (…, h, w) in [0, 1]
    """
    height, width = size
    across = _spans(boxes[..., 0], boxes[..., 2], width)
    down = _spans(boxes[..., 1], boxes[..., 3], height)
    return down[..., :, None] * across[..., None, :]


def _spans(low: Tensor, high: Tensor, count: int) -> Tensor:
    """How much of each of `count` cells in a row lies between two ends: (…,) → (…, count)."""
    cells = torch.arange(count, dtype=low.dtype, device=low.device)
    begin = torch.maximum(low[..., None] * count, cells)
    end = torch.minimum(high[..., None] * count, cells + 1)
    return (end - begin).clamp(0, 1)


def laid_out(cover: Tensor, phrases: Tensor, exact: Tensor, projection: Sequence[Tensor]) -> Tensor:
    """What a U-Net for regions is shown beside x.

    cover:       (b, n, h, w) in [0, 1], how much of each cell is a region's; all 0 where there is
                 none. The later ones are on top
    phrases:     (b, n, d), the embedding of what is in each
    exact:       (b, n), 1 where a region is an outline, 0 where it is a box around the thing
    projection:  weight (k, d) and bias (k,), which make of an embedding what is laid out
    → (b, k + 2, h, w): projected phrases; where a region is; where an exact one is
    """
    weight, bias = projection
    said = phrases @ weight.T.to(phrases) + bias.to(phrases)
    ones = torch.ones_like(exact)
    told = torch.cat([said, torch.stack([ones, exact], -1).to(said)], -1)  # (b, n, k + 2)
    above = torch.flip(torch.cumprod(torch.flip(1 - cover, [1]), 1), [1])  # this and later ones off
    free = torch.cat([above[:, 1:], torch.ones_like(above[:, :1])], 1)
    return torch.einsum("bnhw,bnk->bkhw", (cover * free).to(told), told)
