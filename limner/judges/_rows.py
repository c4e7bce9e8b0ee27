"""What judges do row by row: means, and pictures that stand beside the pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.errors import BadInput

__all__ = ["beside", "mean"]


def mean(values: Tensor) -> Tensor:
    """(b, …) → (b,): each row's mean, its gradients kept.

    Summed in float64 and rounded once, so that the order of summing, which may differ between a
    batch and a picture alone, does not show.
    """
    return values.flatten(1).mean(1, dtype=torch.float64).to(values.dtype)


def beside(given: Tensor, pictures: Tensor, what: str, channels: int = 3) -> Tensor:
    """`given` (1 or b, channels, h, w), as pictures (b, 3, h, w) are in device and type: (b, …).

    Raises BadInput when its size is another or its rows are neither one nor b.
    """
    wanted = (channels, *pictures.shape[2:])
    if tuple(given.shape[1:]) != wanted or len(given) not in (1, len(pictures)):
        shown = " or ".join(str((rows, *wanted)) for rows in sorted({1, len(pictures)}))
        raise BadInput(
            f"the {what} is {tuple(given.shape)} and the pictures are {tuple(pictures.shape)}: "
            f"resize or repeat it to {shown}"
        )
    return given.detach().to(pictures).expand(len(pictures), -1, -1, -1)
