"""A model on pixels, opened, as a denoiser for samplers and measures."""

from __future__ import annotations

from pathlib import Path

import torch

from limner.denoisers import Denoiser
from limner.denoisers.bounded import Bounded
from limner.denoisers.drawn import Drawn
from limner.denoisers.given import Given
from limner.denoisers.learned import Learned
from limner.denoisers.network import Network, Plain
from limner.models.ddgan import Ddgan, is_ddgan, open_ddgan
from limner.models.pixels import Pixels, open_pixels
from limner.noise import Noise

__all__ = ["denoiser_of", "painter_of", "placed", "sampled"]


def placed(model: str | Path | Pixels) -> Pixels:
    """Opened, on the GPU if there is one."""
    opened = open_pixels(model) if isinstance(model, (str, Path)) else model
    return opened.to("cuda" if torch.cuda.is_available() else "cpu")


def sampled(model: str | Path | Pixels | Ddgan) -> Pixels | Ddgan:
    """What `limner sample` opens, on the GPU if there is one."""
    if isinstance(model, Pixels) or (isinstance(model, (str, Path)) and not is_ddgan(model)):
        return placed(model)
    opened = open_ddgan(model) if isinstance(model, (str, Path)) else model
    return opened.to("cuda" if torch.cuda.is_available() else "cpu")


def denoiser_of(model: Pixels) -> Given:
    """D(x, level) of a model without words, at levels of any family."""
    return Given(_network(model), torch.zeros(1, 1, 1, device=model.device))


def painter_of(model: Pixels | Ddgan, noise: Noise) -> Denoiser:
    """The same for painting some samples: x0 stays within [−1, 1], and `ddpm` hears of a learned
    variance; a GAN draws x0."""
    if isinstance(model, Ddgan):
        return Drawn(model.draw, model.levels(model.count)[:-1], noise, model.width)
    if model.card.learned:
        return Learned(model.said, model.table, limit=1.0)
    return Given(Bounded(_network(model)), torch.zeros(1, 1, 1, device=model.device))


def _network(model: Pixels) -> Network:
    return Network(Plain(model.predict), "epsilon", model.table)
