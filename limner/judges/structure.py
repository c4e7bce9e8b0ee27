"""Whether the parts of a picture relate as the reference's do, whatever they look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from limner.judges._rows import beside, mean
from limner.models.clip import Clip
from limner.noise import Noise

__all__ = ["Structure"]


@dataclass(frozen=True, eq=False)
class Structure:
    """The mean square of S(picture) − S(reference), S_ij the cosine of patches i and j in the last
    layer of CLIP's picture tower (the structure loss of Text2LIVE, Bar-Tal et al. 2022, after
    Tumanyan et al. 2022, who take a layer's keys).

    clip:       an opened one; it sees the middle square
    reference:  (1 or b, 3, h, w) in [0, 1], of the pictures' size
    """

    clip: Clip
    reference: Tensor

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        beside(self.reference, pictures, "reference picture")
        found = _similarity(self.clip, pictures)
        yield mean((found - self._wanted.to(found)).square()).to(pictures)

    @cached_property
    def _wanted(self) -> Tensor:
        with torch.no_grad():
            return _similarity(self.clip, self.reference)


def _similarity(clip: Clip, pictures: Tensor) -> Tensor:
    """(b, 3, h, w) → (b, n, n), the n patches' cosines."""
    patches = functional.normalize(clip.hidden_states(pictures)[-1][:, 1:], dim=-1)
    return patches @ patches.mT
