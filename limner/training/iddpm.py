"""The recipe of ``limner train iddpm``: improved DDPM (Nichol & Dhariwal 2021) on small pictures.

Cosine schedule; the network predicts ε and, in as many channels again, the variance between β̃ and β
(eq. 15); the loss is ε's squared error and a thousandth of the bound for the variance (eq. 16),
whose mean is taken as given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.levels import SCHEDULES
from limner.models.pixels import TIMES, Card, tables
from limner.training._pixels import on_pixels
from limner.training._vlb import Chain
from limner.training.loop import Plan, Progress

__all__ = ["Hybrid", "iddpm"]


class Hybrid:
    """L_simple + λ·L_vlb, where L_vlb is one term of the bound as an estimate of all T of them.

    share: λ; the paper's is .001
    """

    def __init__(self, schedule: str = "cosine", share: float = 0.001) -> None:
        self.card = Card("iddpm", schedule, learned=True)
        self.chain, self.share = Chain(tables(self.card)), share

    def timesteps(self, count: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.integers(TIMES, size=count)).double()

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        return self.chain.table[timesteps.long()]

    def losses(self, x0: Tensor, n: Tensor, timesteps: Tensor, said: Tensor) -> dict[str, Tensor]:
        eps, v = said.chunk(2, 1)
        kept = self.alpha_bar(timesteps)
        alpha, sigma = (w.to(x0).view(-1, 1, 1, 1) for w in (kept.sqrt(), (1 - kept).sqrt()))
        x = alpha * x0 + sigma * n
        guess = ((x - sigma * eps.detach()) / alpha).clamp(-1, 1)
        steps = timesteps.long()
        variance = self.chain.log_variance(v, steps)
        bound = TIMES * self.chain.term(x0, x, steps, guess, variance).mean()
        simple = (eps - n).square().mean()
        return {"loss": simple + self.share * bound, "simple": simple, "bound": bound}


def iddpm(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    schedule: str = "cosine",
    width: int = 64,
    layers: int = 2,
    grey: bool = False,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train improved DDPM on small pictures, without words; ``run/model`` is a UNet2DModel.

    Args:
        schedule: cosine, linear, scaled_linear or offset_cosine.
        width: channels at the pictures' own size; twice as many below.
        layers: resnets at each size.
        grey: one channel of grey instead of three of colour.
        resume: go on from the last checkpoint in the run's folder.
    """
    if schedule not in SCHEDULES:
        raise BadInput(f"schedule {schedule!r}: give {', '.join(SCHEDULES)}")
    yield from on_pixels(
        data, run, plan, Hybrid(schedule), width=width, layers=layers, grey=grey, resume=resume
    )
