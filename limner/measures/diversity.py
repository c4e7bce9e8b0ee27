"""How much pictures differ from each other: whether a generator paints more than one thing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.models.clip import Clip, open_clip

__all__ = ["diversity"]


@torch.no_grad()
def diversity(pictures: Iterable[Tensor], *, clip: str | Path | Clip = "embedded") -> float:
    """The mean perceptual distance of all pairs of pictures; 0 when all are the same.

    The distance is that of `judges/likeness.py`: ‖s − s'‖² averaged over the hidden states of CLIP,
    each of length 1, as LPIPS has them (Zhang et al. 2018, eq. 1). Ojha et al. 2021, "Few-shot
    Image Generation via Cross-domain Correspondence", measure adapted generators by such a mean.

    Args:
        pictures: batches (b, 3, h, w) in [0, 1]
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave

    Raises BadInput for fewer than two pictures, or a CLIP with no hidden states (a ResNet).
    """
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    n, sums = 0, torch.zeros(())
    for batch in pictures:
        # (b, states, n, d); in float64, since much of the sums below cancels
        states = torch.stack([each.double() for each in model.hidden_states(batch)], 1)
        n, sums = n + len(batch), sums + functional.normalize(states, dim=-1).sum(0)
    if n < 2:
        raise BadInput(f"{n} pictures: how much they differ needs at least two")
    # Over pairs Σ ‖s − s'‖² is n·Σ ‖s‖² − ‖Σ s‖², and each ‖s‖ is 1.
    over_pairs = n * n - sums.square().sum(-1).mean()
    return max(0.0, float(over_pairs) / (n * (n - 1) / 2))
