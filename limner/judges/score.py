"""How likely a picture is in the eyes of a diffusion model, by what it makes of it under noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.judges._rows import mean
from limner.levels import Level
from limner.noise import Noise

__all__ = ["Score"]


@dataclass(frozen=True, eq=False)
class Score:
    """½·mean (z − D(α·z + σ·n))² of the latents z = E(picture), with a new n at every step.

    Score distillation (Poole et al. 2022, "DreamFusion", eq. 3): D counts as a constant, so that
    the gradient by z is z − D, which is σ/α·(ε̂ − ε), and the network's own slope is never needed.
    In the mean over n it leads to where the model's pictures are. The noise falls with the steps
    (Huang et al. 2023, "DreamTime"): what is large is settled first, and at no noise nothing pulls.

    encode:    pictures (b, 3, h, w) in [0, 1] → latents (b, c, h', w'), with gradients
    denoiser:  (x, level) → x0: what the model says, whatever it was told and however it is guided
    levels:    of the steps 0, 1 …; after the last one the last
    """

    encode: Callable[[Tensor], Tensor]
    denoiser: Callable[[Tensor, Level], Tensor]
    levels: Sequence[Level]

    def __post_init__(self) -> None:
        if not self.levels:
            raise BadInput("no level to judge at: give one for each step")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part (b,). It compares pictures of one step, not those of two."""
        level = self.levels[min(step, len(self.levels) - 1)]
        z = self.encode(pictures)
        drawn = noise.normal(tuple(z.shape[1:]), step=step, purpose="score").to(z)
        with torch.no_grad():
            denoised = self.denoiser(level.alpha * z + level.sigma * drawn, level)
        yield mean((z - denoised).square()).to(pictures) / 2
