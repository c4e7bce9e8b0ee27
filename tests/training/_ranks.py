"""One of several processes: python _ranks.py JOB RANK RANKS FOLDER; writes FOLDER/RANK.pt."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from limner.training._gradient_cache import cached_backward
from limner.training._infonce import infonce


class Towers(nn.Module):
    """Two small towers and CLIP's learned scale; one input for both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.picture = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8))
        self.text = nn.Linear(6, 8)
        self.log_scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, pictures: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pictures, texts = self.picture(pictures), self.text(texts)
        return F.normalize(pictures, dim=1), F.normalize(texts, dim=1), self.log_scale.exp()


def batch(pairs: int, width: int) -> tuple[Tensor, Tensor]:
    """(pairs, width) twice, the same everywhere."""
    generator = torch.Generator().manual_seed(2)
    both = torch.randn(2, pairs, width, generator=generator)
    return both[0], both[1]


def loss_job(rank: int, ranks: int) -> dict[str, Tensor]:
    pictures, texts = (F.normalize(x, dim=1) for x in batch(20 * ranks, 8))
    own = slice(20 * rank, 20 * rank + 20)
    p, t = pictures[own].clone().requires_grad_(), texts[own].clone().requires_grad_()
    scale = torch.tensor(5.0, requires_grad=True)
    loss = infonce(p, t, scale, chunk=7, group=dist.group.WORLD)
    loss.backward()
    assert p.grad is not None and t.grad is not None and scale.grad is not None
    found = {"loss": loss.detach(), "pictures": p.grad, "texts": t.grad, "scale": scale.grad}
    try:  # every rank has to learn of it, else the others wait for ever
        infonce(p[: 20 - rank], t[: 20 - rank], scale, group=dist.group.WORLD)
    except ValueError:
        found["refused"] = torch.tensor(True)
    return found


def towers_job(rank: int, ranks: int) -> dict[str, Tensor]:
    pictures, texts = batch(20 * ranks, 6)
    own = slice(20 * rank, 20 * rank + 20)
    model = DistributedDataParallel(Towers())

    def loss(p: Tensor, t: Tensor, scale: Tensor) -> Tensor:
        return infonce(p, t, scale, group=dist.group.WORLD)

    value = cached_backward(
        model, (pictures[own], texts[own]), loss, micro_batch=8, no_sync=model.no_sync
    )
    gradients = {name: p.grad for name, p in model.module.named_parameters() if p.grad is not None}
    return {"loss": value, **gradients}


if __name__ == "__main__":
    job, rank, ranks, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=ranks)
    torch.save({"loss": loss_job, "towers": towers_job}[job](rank, ranks), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
