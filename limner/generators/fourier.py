"""Fourier: a picture by its spectrum, with the colours of photographs (Olah et al. 2017).

"Feature Visualization", section "Preconditioning": gradients that move frequencies alike, and
colours along the axes on which photographs spread, paint large shapes where gradients on pixels
paint fine noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limner.generators import Latent
from limner.generators._size import checked, fitting
from limner.noise import Noise

__all__ = ["Fourier"]

# The covariance of ImageNet's RGB pixels in [0, 1] by its eigenvalues and eigenvectors (columns):
# the principal components of Krizhevsky et al. 2012, section 4.1, as fb.resnet.torch lists them.
_VARIANCES = (0.2175, 0.0188, 0.0045)
_AXES = ((0.5675, 0.7192, 0.4009), (0.5808, -0.0045, -0.8140), (0.5836, -0.6948, 0.4203))
_NOISE = 0.1  # standard deviation of the start's logits: grey clouds, about .025 in the picture
_EDGE = 1 / 512  # black and white have no logit; half a step of 8 bits from them do


class Fourier:
    """Pictures of size (width, height); latent: `spectrum` (b, 3, h, w), any values.

    picture = sigmoid(C · H(s · spectrum)): s falls as 1/f with the frequency f, C mixes three
    uncorrelated channels into RGB, and H is Hartley's transform, the Fourier transform of a real
    picture in as many real numbers as it has pixels (Bracewell 1983). A spectrum of standard
    normal numbers gives logits of about unit variance at every size.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = checked(size)
        self.rates: Mapping[str, float] = {"spectrum": 0.05}  # of Olah et al.'s own code
        self._falloff = _falloff(self.size)
        self._colours = _colours()

    def start(self, noise: Noise) -> Latent:
        """Grey with faint clouds."""
        width, height = self.size
        return {"spectrum": _NOISE * noise.normal((3, height, width))}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]."""
        spectrum = latent["spectrum"]
        return _mixed(self._colours, _hartley(spectrum * self._falloff.to(spectrum))).sigmoid()

    def constrain(self, latent: Latent) -> Latent:
        """The latent itself: every spectrum has a picture."""
        return latent

    def invert(self, pictures: Tensor) -> Latent:
        """The latent of pictures (b, 3, h, w); what is within 1/512 of 0 or 1 is moved there."""
        logits = fitting(pictures, self.size).clamp(_EDGE, 1 - _EDGE).logit()
        spectrum = _hartley(_mixed(self._colours.inverse(), logits))
        return {"spectrum": spectrum / self._falloff.to(spectrum)}


def _falloff(size: tuple[int, int]) -> Tensor:
    """1/f (h, w), f in cycles a pixel and that of the mean one cycle a picture; mean square 1."""
    width, height = size
    across = torch.fft.fftfreq(width, dtype=torch.float64)
    down = torch.fft.fftfreq(height, dtype=torch.float64)
    falloff = 1 / torch.hypot(down[:, None], across).clamp(min=1 / max(size))
    return falloff / falloff.square().mean().sqrt()


def _colours() -> Tensor:
    """A root (3, 3) of the colours' covariance, scaled so that the channels' mean variance is 1."""
    root = torch.tensor(_AXES, dtype=torch.float64) * torch.tensor(_VARIANCES).double().sqrt()
    return root / (sum(_VARIANCES) / 3) ** 0.5


def _mixed(matrix: Tensor, channels: Tensor) -> Tensor:
    """The matrix (3, 3) times the channels (b, 3, h, w) of each pixel."""
    return torch.einsum("rc,bchw->brhw", matrix.to(channels), channels)


def _hartley(x: Tensor) -> Tensor:
    """Σ x·(cos + sin)(2π(ux + vy)) / √(h·w) over the last two dimensions; its own inverse."""
    spectrum = torch.fft.fft2(x, norm="ortho")
    return spectrum.real - spectrum.imag
