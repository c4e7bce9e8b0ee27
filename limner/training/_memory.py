"""Pairs of the last steps as further negatives of this one.

"Cross-Batch Memory for Embedding Learning" (Wang et al. 2020, section 3.2): networks drift slowly,
so embeddings of some steps ago still tell apart what this step's must be told apart from. A batch
of 192 seldom holds two red things of different shapes; with the 2,000 pairs before it, it does.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from limner.errors import BadInput
from limner.training._infonce import gather

__all__ = ["Memory"]


class Memory(nn.Module):
    """The newest ``size`` pairs of all processes, (size, width) each; the same in each process.

    Its buffers belong to a training's checkpoint, so that a resumed run meets the same negatives.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        if size < 1:
            raise BadInput(f"memory {size}: give at least 1, or leave it out")
        self.pictures: Tensor
        self.texts: Tensor
        self.filled: Tensor
        self.register_buffer("pictures", torch.zeros(size, width))
        self.register_buffer("texts", torch.zeros(size, width))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def beside(
        self, pictures: Tensor, texts: Tensor, group: dist.ProcessGroup | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (n, d) of this step and behind them this process's share of those kept, when
        there are as many as can be; their rows belong together like this step's."""
        if self.filled < len(self.texts):
            return pictures, texts
        rank, ranks = (dist.get_rank(group), dist.get_world_size(group)) if group else (0, 1)
        if len(self.texts) % ranks:
            raise BadInput(f"memory {len(self.texts)} over {ranks} processes: give a multiple")
        own = slice(rank, None, ranks)
        return torch.cat([pictures, self.pictures[own]]), torch.cat([texts, self.texts[own]])

    @torch.no_grad()
    def keep(self, pictures: Tensor, texts: Tensor, group: dist.ProcessGroup | None = None) -> None:
        """Embeddings (n, d) of this step, in place of the oldest."""
        for kept, new in ((self.pictures, pictures), (self.texts, texts)):
            whole = gather(new.detach().to(kept), group)[1]
            kept.copy_(torch.cat([kept, whole])[-len(kept) :])
        self.filled.add_(len(whole)).clamp_(max=len(self.texts))
