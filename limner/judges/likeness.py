"""How far pictures are from a target: in their pixels, or in what CLIP's layers make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.judges._rows import beside, mean
from limner.models.clip import Clip
from limner.noise import Noise

__all__ = ["Likeness"]


@dataclass(frozen=True, eq=False)
class Likeness:
    """ "l2": the mean square of picture − target. "perceptual": the mean of ‖s − s'‖² over the
    hidden states of CLIP, class token and patches, before its first layer and after each; each
    state brought to length 1 as LPIPS does (Zhang et al. 2018, eq. 1, without learned weights).

    target:  (1 or b, 3, h, w) in [0, 1], of the pictures' size
    clip:    an opened one, for "perceptual" alone; it sees the middle square
    """

    target: Tensor
    kind: Literal["l2", "perceptual"] = "l2"
    clip: Clip | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("l2", "perceptual"):
            raise BadInput(f"likeness {self.kind!r}: give 'l2' or 'perceptual'")
        if (self.clip is not None) != (self.kind == "perceptual"):
            raise BadInput(f"likeness {self.kind!r}: perceptual needs a CLIP, l2 takes none")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        target = beside(self.target, pictures, "target")
        if self.clip is None:
            yield mean((pictures - target).square())
        else:
            states = _unit_states(self.clip, pictures)
            apart = [
                (state - aim.to(state)).square().sum(-1)
                for state, aim in zip(states, self._target_states)
            ]
            yield mean(torch.stack(apart, 1)).to(pictures)

    @cached_property
    def _target_states(self) -> list[Tensor]:
        assert self.clip is not None
        with torch.no_grad():
            return _unit_states(self.clip, self.target)


def _unit_states(clip: Clip, pictures: Tensor) -> list[Tensor]:
    """(b, n, d) of each layer, of length 1."""
    return [functional.normalize(state, dim=-1) for state in clip.hidden_states(pictures)]
