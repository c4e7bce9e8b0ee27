"""Noise with the smoothness of real latents."""

from __future__ import annotations

import torch
from torch import Tensor

from limner.noise import Noise

__all__ = ["smooth_noise"]

_WEIGHTS = (1, 3, 3, 1)


def smooth_noise(noise: Noise, channels: int, size: tuple[int, int]) -> Tensor:
    """(b, channels, h, w) of unit variance for a size (w, h), neighbours correlated by 3/4.

    White noise is far from every picture's latent and decodes to speckle, which judges dislike and
    a search leaves slowly: the embedded diffusion model's latents of `scenes` have a deviation of
    1.00, and neighbours correlate by .72 (by .75 in a VQGAN begun with its autoencoder). The
    binomial weights 1 3 3 1, along each axis, give neighbours (3 + 9 + 3)/20. The noise is drawn
    wider, so that its edges are like its middle.
    """
    width, height = size
    wider = len(_WEIGHTS) - 1
    drawn = noise.normal((channels, height + wider, width + wider))
    return _smoothed(_smoothed(drawn, 3, width), 2, height)


def _smoothed(x: Tensor, dim: int, length: int) -> Tensor:
    """The binomial mean along a dimension, `length` long, with white noise's variance kept."""
    weighed = [weight * x.narrow(dim, i, length) for i, weight in enumerate(_WEIGHTS)]
    total: Tensor = sum(weighed, torch.zeros_like(weighed[0]))
    return total / sum(weight**2 for weight in _WEIGHTS) ** 0.5
