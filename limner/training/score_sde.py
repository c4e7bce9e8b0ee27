"""The recipe of ``limner train score-sde``: stochastic differential equations (Song et al. 2021) on
small pictures, in continuous time.

The variance-preserving one has β from .1 to 20, the variance-exploding one σ evenly in its
logarithm. Both learn by ε's squared error, which is denoising score matching with λ(t) = σ(t)²
(section 3.3). The network sees x/√(α² + σ²), so that one network serves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.models.pixels import EARLIEST, TIMES, Card, sde_table
from limner.training._pixels import on_pixels
from limner.training.loop import Plan, Progress

__all__ = ["Score", "score_sde"]

BETAS = (0.1, 20.0)  # appendix C
LEAST = 0.01  # σ of the variance-exploding one


class Score:
    """ε's squared error at continuous times, even in [.001, 1]."""

    def __init__(self, sde: str = "vp", sigma_max: float = 50.0) -> None:
        self.card = Card("score_sde", sde, BETAS if sde == "vp" else (LEAST, sigma_max))

    def timesteps(self, count: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.random(count)) * (TIMES - 1)

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        return sde_table(self.card, EARLIEST + (1 - EARLIEST) * timesteps / (TIMES - 1))

    def losses(self, x0: Tensor, n: Tensor, timesteps: Tensor, said: Tensor) -> dict[str, Tensor]:
        return {"loss": (said - n).square().mean()}


def score_sde(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    sde: str = "vp",
    sigma_max: float = 50.0,
    width: int = 64,
    layers: int = 2,
    grey: bool = False,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a score model on small pictures, without words; ``run/model`` is a UNet2DModel.

    Args:
        sde: vp, variance preserving, or ve, variance exploding.
        sigma_max: of ve, the noise that leaves nothing to be seen: about the largest distance of
            two pictures, each a list of numbers from -1 to 1.
        width: channels at the pictures' own size; twice as many below.
        layers: resnets at each size.
        grey: one channel of grey instead of three of colour.
        resume: go on from the last checkpoint in the run's folder.
    """
    if sde not in ("vp", "ve"):
        raise BadInput(f"sde {sde!r}: give vp or ve")
    if not 1 <= sigma_max <= 10_000:
        raise BadInput(f"sigma_max {sigma_max}: give 1 to 10000")
    score = Score(sde, sigma_max)
    yield from on_pixels(
        data, run, plan, score, width=width, layers=layers, grey=grey, resume=resume
    )
