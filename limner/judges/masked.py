"""A judge confined to a region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.judges import Judge
from limner.judges._rows import beside
from limner.noise import Noise

__all__ = ["Masked"]


@dataclass(frozen=True, eq=False)
class Masked:
    """The judge sees mask·picture + (1 − mask)·outside, and no gradient leaves the mask.

    judge:    any
    mask:     (1 or b, 1, h, w) in [0, 1], 1 where the picture is judged
    outside:  what is seen elsewhere, (1 or b, 3, h, w) in [0, 1]; None for middle grey
    """

    judge: Judge
    mask: Tensor
    outside: Tensor | None = None

    def __post_init__(self) -> None:
        if not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise BadInput("the mask has values outside [0, 1]: give 1 inside and 0 outside")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """The judge's parts."""
        mask = beside(self.mask, pictures, "mask", channels=1)
        outside = torch.full_like(pictures, 0.5)
        if self.outside is not None:
            outside = beside(self.outside, pictures, "picture outside the mask")
        blend = (mask * pictures + (1 - mask) * outside).detach()
        # Parts are graphs of their own: what they have in common must hold nothing that the first
        # one's backward would free. A sum holds nothing, and a hook is not freed.
        seen = blend + (pictures - pictures.detach())
        if seen.requires_grad:
            seen.register_hook(lambda gradient: gradient * mask)
        return self.judge.losses(seen, noise, step)
