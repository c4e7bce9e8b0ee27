"""A model on pixels, opened, as a denoiser for samplers and measures."""

from __future__ import annotations

from pathlib import Path

import torch

from limner.denoisers.given import Given
from limner.denoisers.network import Network, Plain
from limner.models.pixels import Pixels, open_pixels

__all__ = ["denoiser_of", "placed"]


def placed(model: str | Path | Pixels) -> Pixels:
    """Opened, on the GPU if there is one."""
    opened = open_pixels(model) if isinstance(model, (str, Path)) else model
    return opened.to("cuda" if torch.cuda.is_available() else "cpu")


def denoiser_of(model: Pixels) -> Given:
    """D(x, level) of a model without words, at levels of any family."""
    network = Network(Plain(model.predict), "epsilon", model.table)
    return Given(network, torch.zeros(1, 1, 1, device=model.device))
