"""diffusion_autoencoder: pictures by what they show (z) and the rest (x_T), along DDIM's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.models.diffusion_autoencoder import STEPS, DiffusionAutoencoder
from limner.noise import Noise

__all__ = ["diffusion_autoencoder"]

_RATE = 0.02  # of z, whose numbers deviate by about one


def diffusion_autoencoder(
    model: DiffusionAutoencoder, size: tuple[int, int] | None = None
) -> _Semantic:
    """The generator of a model's pictures; size (width, height) is its own, or None."""
    side = model.size
    if size is not None and checked(size) != (side, side):
        raise BadInput(f"size {size}: the model {model.name!r} paints {side}x{side} pixels")
    return _Semantic(model)


class _Semantic:
    """latent: `z` (b, code), and `noise` (b, c, h, w), which is x_T; any values."""

    def __init__(self, model: DiffusionAutoencoder) -> None:
        self.model, self.size = model, (model.size, model.size)
        self.rates: Mapping[str, float] = {"z": _RATE, "noise": 0.0}

    def start(self, noise: Noise) -> Latent:
        """z with the mean and the deviations that pictures have, x_T as it is drawn."""
        model, encoder = self.model, self.model.encoder
        drawn = noise.normal((model.code,), purpose="z")
        z = encoder.mean.float().cpu() + encoder.deviation.float().cpu() * drawn
        shape = (model.channels, model.size, model.size)
        return {"z": z, "noise": noise.normal(shape, purpose="noise")}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], with gradients to both parts."""
        model, given = self.model, latent["z"]
        z, x = (latent[part].to(model.device, model.dtype) for part in ("z", "noise"))
        drawn = clamp(model.down(x, z) / 2 + 0.5).to(given.dtype)
        return drawn.expand(-1, 3, -1, -1)

    def constrain(self, latent: Latent) -> Latent:
        """The latent itself: every z has a picture."""
        return latent

    @torch.no_grad()
    def invert(self, pictures: Tensor) -> Latent:
        """What pictures (b, 3, h, w) in [0, 1] show, at once; x_T is left at zero."""
        z = self.model.seen(fitting(pictures, self.size)).float().cpu()
        shape = (len(z), self.model.channels, self.model.size, self.model.size)
        return {"z": z, "noise": torch.zeros(shape)}

    def inverting(self, pictures: Tensor, *, steps: int = STEPS) -> Iterator[Latent]:
        """z, and after each of so many steps of DDIM's way up, what noise the picture is taken to
        have; the last is x_T itself."""
        z = self.invert(pictures)["z"]
        x0, told = self.model.encode(pictures), z.to(self.model.device, self.model.dtype)
        with torch.no_grad():
            for x in self.model.up(x0, told, steps):
                yield {"z": z, "noise": x.float().cpu()}
