"""InfoNCE of CLIP without the N×N matrix.

Radford et al. 2021, figure 3: logits z_ij = s·⟨p_i, t_j⟩, and the mean of the cross-entropies along
rows and columns, whose right answer is the diagonal:

    L = 1/(2N) Σ_i [ logsumexp_j z_ij + logsumexp_j z_ji − 2 z_ii ]

    ∂L/∂z_ij = 1/(2N) [ exp(z_ij − row_i) + exp(z_ij − column_j) − 2 δ_ij ]

Forward walks over blocks of z and keeps only the running log-sum-exp of each row and column, (N,)
each; backward makes the blocks again. Memory is O(N·d + chunk²) instead of O(N²).

Over several processes each takes its own rows against all texts: the work is divided, not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["infonce"]


def infonce(
    pictures: Tensor,  # (n, d) normalised embeddings, row i belongs to row i of texts
    texts: Tensor,  # (n, d)
    logit_scale: Tensor,  # () the factor itself, exp of what CLIP learns; 1/0.07 at the start
    chunk: int = 1024,  # a block of logits is (chunk, chunk) float32
    group: dist.ProcessGroup | None = None,  # processes that hold the other rows of the batch
) -> Tensor:
    """The symmetric contrastive loss () of a batch of pairs, in nats.

    It is computed in float32 (float64 for float64 embeddings), also under autocast.

    With `group`, the batch is that of all its processes together, n rows of each in the order of
    the ranks; each gets the loss of the whole. The embeddings' gradients are those of the sum of
    that loss over the ranks: averaging parameter gradients over the ranks, as
    DistributedDataParallel does, then gives what one process with the whole batch would have.
    `logit_scale` gets the same gradient on each rank.

    Raises ValueError when the shapes do not fit; on every rank where ranks hold different n.
    """
    if pictures.ndim != 2 or pictures.shape != texts.shape or not len(pictures):
        raise ValueError(
            f"pictures {tuple(pictures.shape)}, texts {tuple(texts.shape)}: expected (n, d) of both"
        )
    if logit_scale.ndim:
        raise ValueError(f"logit_scale has shape {tuple(logit_scale.shape)}; expected ()")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected at least 1")
    precision = torch.promote_types(pictures.dtype, torch.float32)
    # The casts are outside, so that autograd casts the gradients back.
    loss: Tensor = _InfoNCE.apply(
        pictures.to(precision), texts.to(precision), logit_scale.to(precision), chunk, group
    )
    return loss


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        pictures: Tensor,
        texts: Tensor,
        scale: Tensor,
        chunk: int,
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        first, every_text = _gather(texts, group)
        rows, columns = _log_sums(pictures, every_text, scale, chunk)
        columns = _log_sum_over(columns, group)
        own = slice(first, first + len(texts))
        diagonal = scale * (pictures * texts).sum(dim=1)
        total = (rows + columns[own] - 2 * diagonal).sum()
        if group is not None:
            dist.all_reduce(total, group=group)
        ctx.save_for_backward(pictures, every_text, scale, rows, columns)
        ctx.chunk, ctx.group, ctx.first = chunk, group, first
        return total / (2 * len(every_text))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        pictures, every_text, scale, rows, columns = ctx.saved_tensors
        group, own = ctx.group, slice(ctx.first, ctx.first + len(pictures))
        for_pictures, for_texts, for_scale = _gradients(
            pictures, every_text, scale, rows, columns, ctx.first, ctx.chunk
        )
        ranks = 1
        if group is not None:
            ranks = dist.get_world_size(group)
            dist.all_reduce(for_texts, group=group)
            dist.all_reduce(for_scale, group=group)
        # mean of the cross-entropies, and the sum over ranks that infonce promises
        share = upstream / (2 * len(every_text)) * ranks
        for_texts = for_texts[own] * share
        return for_pictures.mul_(share), for_texts, for_scale * share / ranks, None, None


def _blocks(pictures: Tensor, texts: Tensor, chunk: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Blocks (rows, columns, ⟨p_i, t_j⟩) of the matrix of products; a block may be overwritten."""
    # Autocast would make the products bf16.
    with torch.autocast(pictures.device.type, enabled=False):
        for top in range(0, len(pictures), chunk):
            row = slice(top, top + chunk)
            for left in range(0, len(texts), chunk):
                column = slice(left, left + chunk)
                yield row, column, pictures[row] @ texts[column].T


def _log_sums(pictures: Tensor, texts: Tensor, scale: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """log Σ exp z along rows (n,) and along columns (N,), of these rows."""
    rows = pictures.new_full((len(pictures),), -torch.inf)
    columns = texts.new_full((len(texts),), -torch.inf)
    for row, column, block in _blocks(pictures, texts, chunk):
        block *= scale
        rows[row] = torch.logaddexp(rows[row], block.logsumexp(dim=1))
        columns[column] = torch.logaddexp(columns[column], block.logsumexp(dim=0))
    return rows, columns


def _gradients(
    pictures: Tensor,  # (n, d)
    texts: Tensor,  # (N, d)
    scale: Tensor,  # ()
    rows: Tensor,  # (n,) log-sum-exp
    columns: Tensor,  # (N,)
    first: int,  # column of the right answer of row 0
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of 2N·L, as far as these rows of z make them: (n, d), (N, d), ()."""
    for_pictures, for_texts = torch.zeros_like(pictures), torch.zeros_like(texts)
    for_scale = torch.zeros_like(scale)
    for row, column, block in _blocks(pictures, texts, chunk):
        z = block * scale
        weights = (z - rows[row, None]).exp_()
        weights += z.sub_(columns[column]).exp_()
        weights.diagonal(row.start + first - column.start)[:] -= 2
        for_scale += block.mul_(weights).sum()
        weights *= scale
        for_pictures[row].addmm_(weights, texts[column])
        for_texts[column].addmm_(weights.T, pictures[row])
    return for_pictures, for_texts, for_scale


def _gather(texts: Tensor, group: dist.ProcessGroup | None) -> tuple[int, Tensor]:
    """Place of this rank's first row, and the rows of all ranks (N, d)."""
    if group is None:
        return 0, texts
    ranks = dist.get_world_size(group)
    sizes = [texts.new_empty((), dtype=torch.int64) for _ in range(ranks)]
    dist.all_gather(sizes, torch.tensor(len(texts), device=texts.device), group=group)
    counts = [int(size) for size in sizes]
    if len(set(counts)) > 1:
        raise ValueError(f"ranks hold {counts} pairs; expected the same number on each")
    parts = [torch.empty_like(texts) for _ in range(ranks)]
    dist.all_gather(parts, texts.contiguous(), group=group)
    return dist.get_rank(group) * len(texts), torch.cat(parts)


def _log_sum_over(partial: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """logsumexp over the ranks of each entry (N,)."""
    if group is None:
        return partial
    parts = [torch.empty_like(partial) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, partial, group=group)
    return torch.stack(parts).logsumexp(dim=0)
