"""Prompts for parts of a picture, with any text-to-image model (MultiDiffusion)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.denoisers import Conditional
from limner.denoisers._together import together
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["Regions", "View"]

View = tuple[slice, slice]
"""The rows and the columns of latents that are looked at."""


@dataclass(frozen=True)
class Regions:
    """D = Σ mask_i · D_i over the parts and the rest, each guided by its own prompt (Bar-Tal et al.
    2023, "MultiDiffusion", eq. 5, whose minimum is this mean).

    network:        a Conditional
    whole:          (1, n, d), the prompt of the picture, which the rest follows
    parts:          a prompt for each part, likewise
    masks:          (parts, h, w) in [0, 1], how much of each latent is a part's; together at most 1
    unconditional:  (1, n, d)
    scale:          of classifier-free guidance
    views:          for each part the latents that the network sees of it (the paper's crops), which
                    hold all of its mask; all when not given
    alone:          as long as σ/(α+σ) is at least this, the rest is led away from what the parts
                    say, so that nothing is there twice, and each part is seen in front of such a
                    rest: it takes the place of what is expected around the part, while the noise
                    stays x's own (the paper's bootstrapping, section 5.2, has a plain colour there)
    """

    network: Conditional
    whole: Tensor
    parts: Sequence[Tensor]
    masks: Tensor
    unconditional: Tensor
    scale: float
    views: Sequence[View] | None = None
    alone: float = 0.5

    def __post_init__(self) -> None:
        if self.masks.ndim != 3 or not 0 < len(self.parts) == len(self.masks):
            shape = tuple(self.masks.shape)
            raise BadInput(f"{len(self.parts)} parts, masks {shape}: give (parts, h, w)")
        if float(self.masks.sum(0).max()) > 1 + 1e-4 or float(self.masks.min()) < 0:
            raise BadInput("masks of parts: give numbers from 0, together at most 1 at each place")
        if self.views is not None and len(self.views) != len(self.parts):
            raise BadInput(f"{len(self.views)} views of {len(self.parts)} parts: give one for each")

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        begun = level.time < self.alone
        said = [] if begun else self.parts
        without, whole, *others = together(
            self.network, x, level, [self.unconditional, self.whole, *said]
        )
        pull = whole - without
        if others:
            pull = pull - (torch.stack(others).mean(0) - without)
        rest = without + self.scale * pull
        around = 0 if begun else level.alpha * (rest - whole)
        out = rest * (1 - self.masks.to(x).sum(0))
        for i, (mask, part) in enumerate(zip(self.masks.to(x), self.parts, strict=True)):
            view = (..., *self.views[i]) if self.views else (...,)
            seen = x + (1 - mask) * around
            below, above = together(self.network, seen[view], level, [self.unconditional, part])
            out[view] += mask[view] * (below + self.scale * (above - below))
        return out
