"""Whether it is still the same person, as a face-embedding network sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from limner.judges._rows import beside
from limner.models import faces
from limner.noise import Noise

__all__ = ["Identity"]


@dataclass(frozen=True, eq=False)
class Identity:
    """1 − ⟨E(picture), E(reference)⟩, E the network's embedding of length 1 (the identity loss of
    StyleCLIP, Patashnik et al. 2021, eq. 2, whose E is ArcFace).

    reference:  (1 or b, 3, h, w) in [0, 1], of the pictures' size
    network:    an opened one; it sees the middle square
    """

    reference: Tensor
    network: faces.Identity

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part (b,) in [0, 2]. Nothing is random."""
        beside(self.reference, pictures, "reference picture")
        found = self.network.embed(pictures)
        yield (1 - (found * self._wanted.to(found)).sum(1)).to(pictures)

    @cached_property
    def _wanted(self) -> Tensor:
        with torch.no_grad():
            return self.network.embed(self.reference)
