"""A codebook that follows what an encoder gives, and gives up no code."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Codebook", "k_means", "nearest", "tokens"]

_AT_ONCE = 8192  # vectors whose distances to all codes are held


def tokens(z: Tensor) -> Tensor:
    """(b, d, h, w) → (b·h·w, d), float32."""
    return z.permute(0, 2, 3, 1).flatten(0, 2).float()


@torch.no_grad()
def nearest(vectors: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Of vectors (n, d) among codes (k, d): each one's nearest code (n,), and its distance (n,)."""
    found = [torch.cdist(part, codes).min(1) for part in vectors.split(_AT_ONCE)]
    return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])


@torch.no_grad()
def k_means(vectors: Tensor, count: int, rounds: int = 12) -> Tensor:
    """Codes (count, d) for vectors (n, d), which must be as many or more (Lloyd 1982).

    They begin at some of the vectors. A code that is nearest to none goes to where the error is
    largest. Its randomness is torch's.
    """
    codes = vectors[torch.randperm(len(vectors))[:count]].clone()
    for _ in range(rounds):
        index, distance = nearest(vectors, codes)
        held = torch.bincount(index, minlength=count)
        codes = torch.zeros_like(codes).index_add_(0, index, vectors) / held.clamp(min=1)[:, None]
        idle = (held == 0).nonzero()[:, 0]
        codes[idle] = vectors[distance.topk(len(idle)).indices]
    return codes


class Codebook(nn.Module):
    """Moves an embedding by exponential averages (van den Oord et al. 2017, appendix A.1).

    A code whose share of the vectors falls under ``idle`` times an even share is put on a vector
    of the step (Dhariwal et al. 2020, "Jukebox", section 3.1: random restarts), which is drawn by
    its squared distance from the codes (Arthur and Vassilvitskii 2007): where one is missing most.

    Args:
        embedding: whose weights are the codes (k, d); gradients no longer move them.
    """

    share: Tensor  # (k,) of the vectors that each code is nearest to
    total: Tensor  # (k, d) share times their mean

    def __init__(self, embedding: nn.Embedding, keep: float = 0.99, idle: float = 0.03) -> None:
        super().__init__()
        codes = embedding.weight.requires_grad_(False)
        self._embedding = [embedding]  # in a list: it is the network's, and saved there
        self.keep, self.idle = keep, idle
        self.register_buffer("share", torch.full((len(codes),), 1 / len(codes)))
        self.register_buffer("total", codes.detach() / len(codes))

    @property
    def codes(self) -> Tensor:
        """(k, d)"""
        return self._embedding[0].weight

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (b, d, h, w) → the nearest codes, (b, d, h, w) and as numbers (b·h·w,)."""
        index, _ = nearest(tokens(z), self.codes)
        shape = (z.shape[0], *z.shape[2:], z.shape[1])
        return F.embedding(index, self.codes).view(shape).permute(0, 3, 1, 2), index

    @torch.no_grad()
    def begin(self, codes: Tensor) -> None:
        """Set the codes (k, d), each with an even share."""
        self.codes.copy_(codes)
        self.share.fill_(1 / len(codes))
        self.total.copy_(codes / len(codes))

    @torch.no_grad()
    def follow(self, z: Tensor) -> Tensor:
        """Take note of a step's z (b, d, h, w), of all processes; how many codes were revived."""
        vectors = tokens(z)
        index, distance = nearest(vectors, self.codes)
        share = torch.bincount(index, minlength=len(self.codes)) / len(vectors)
        total = torch.zeros_like(self.codes).index_add_(0, index, vectors) / len(vectors)
        self.share.lerp_(_mean(share), 1 - self.keep)
        self.total.lerp_(_mean(total), 1 - self.keep)
        idle = (self.share < self.idle / len(self.share)).nonzero()[:, 0]
        if len(idle):
            chance = distance.square() + 1e-12  # never all zero
            fresh = vectors[torch.multinomial(chance, len(idle), replacement=True)]
            if _several():
                dist.broadcast(fresh, 0)
            self.share[idle] = 1 / len(self.share)
            self.total[idle] = fresh / len(self.share)
        self.codes.copy_(self.total / self.share[:, None])
        return torch.tensor(float(len(idle)), device=z.device)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def _mean(value: Tensor) -> Tensor:
    """Over all processes."""
    if _several():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value
