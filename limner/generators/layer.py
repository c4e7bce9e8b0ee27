"""Layer: an edit in a layer of its own over given pictures (Bar-Tal et al. 2022, "Text2LIVE")."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.noise import Noise

__all__ = ["Layer"]

_BASE = "colour."
_OPACITY, _NOISE = 0.2, 0.02  # mean of the start and its standard deviation


class Layer:
    """What `base` renders, laid over pictures (b, 3, h, w) in [0, 1] as opaque as α says.

    resolution:  (width, height) of α's own map, enlarged to the pictures' size; None: theirs
    mask:        (1 or b, 1, h, w) in [0, 1], what α is multiplied by; None for 1 everywhere
    alpha_rate:  the usual learning rate of α

    One picture serves every search; more are one for each. latent: the base's parts, each under
    its name after `colour.`; `alpha` (b, 1, h', w') in [0, 1]; and `picture` (b, 3, h, w), which is
    not searched, but makes a row whole without its batch.
    """

    def __init__(
        self,
        pictures: Tensor,
        base: Generator,
        resolution: tuple[int, int] | None = None,
        mask: Tensor | None = None,
        alpha_rate: float = 0.03,
    ) -> None:
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
            raise BadInput(f"pictures {tuple(pictures.shape)}: expected (b, 3, h, w), b from 1")
        height, width = pictures.shape[2:]
        self.size = checked((width, height))
        self.resolution = checked(resolution or self.size, self.size, "resolution")
        self.pictures, self.base, self.mask = pictures, base, mask
        self.rates: Mapping[str, float] = {
            **{_BASE + name: rate for name, rate in base.rates.items()},
            "alpha": alpha_rate,
            "picture": 0.0,
        }

    def start(self, noise: Noise) -> Latent:
        """The base's start under a faint, even α with a little noise."""
        count, (width, height) = len(noise.samples), self.resolution
        if len(self.pictures) not in (1, count):
            raise BadInput(
                f"{len(self.pictures)} pictures for {count} searches: give one, or one for each"
            )
        alpha = _OPACITY + _NOISE * noise.normal((1, height, width), purpose="alpha")
        latent = {_BASE + name: part for name, part in self.base.start(noise).items()}
        picture = self.pictures.expand(count, -1, -1, -1).clone()
        return self.constrain(latent | {"alpha": alpha, "picture": picture})

    def render(self, latent: Latent) -> Tensor:
        """The composites (b, 3, h, w) in [0, 1]: colour·α + picture·(1 − α), section 3.1."""
        layer = self.rgba(latent)
        colour, alpha = layer[:, :3], layer[:, 3:]
        return colour * alpha + latent["picture"] * (1 - alpha)

    def rgba(self, latent: Latent) -> Tensor:
        """The layer itself (b, 4, h, w) in [0, 1]: colour, and α as the last channel."""
        colour = fitting(self.base.render(_base_of(latent)), self.size)
        alpha = functional.interpolate(latent["alpha"], size=colour.shape[2:], mode="bilinear")
        alpha = clamp(alpha) if self.mask is None else clamp(alpha) * self.mask
        return torch.cat([colour, alpha], 1)

    def alone(self) -> Generator:
        """The same search, which renders `rgba`: for judges that look at the layer itself."""
        return _Alone(self)

    def constrain(self, latent: Latent) -> Latent:
        """The base's parts as it wants them, α in [0, 1]; the picture stays."""
        base = self.base.constrain(_base_of(latent))
        alpha = {"alpha": latent["alpha"].clamp(0, 1), "picture": latent["picture"]}
        return {_BASE + name: part for name, part in base.items()} | alpha


class _Alone:
    def __init__(self, layer: Layer) -> None:
        self.rates = layer.rates
        self.start, self.render, self.constrain = layer.start, layer.rgba, layer.constrain


def _base_of(latent: Latent) -> Latent:
    return {
        name.removeprefix(_BASE): part for name, part in latent.items() if name.startswith(_BASE)
    }
