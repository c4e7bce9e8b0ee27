"""latent: pictures by the latents of a text-to-image model's autoencoder, a strong prior."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.generators._smooth import smooth_noise
from limner.models._text_to_image import TextToImage
from limner.noise import Noise

__all__ = ["latent"]

_LIMIT = 5.0  # standard deviations: 8 in 100,000 of the embedded model's own latents go beyond


def latent(model: TextToImage, size: tuple[int, int] | None = None) -> _Decoded:
    """The generator of a model's pictures of size (width, height); None: as it was trained."""
    return _Decoded(model, size or (model.size, model.size))


class _Decoded:
    """latent: `latents` (b, c, h/f, w/f) as the diffusion model sees them, from -5 to 5."""

    def __init__(self, model: TextToImage, size: tuple[int, int]) -> None:
        self.model, self.size = model, checked(size)
        if any(side % model.downscale for side in size):
            raise BadInput(
                f"size {size}: the model {model.name!r} needs multiples of {model.downscale}"
            )
        self.rates: Mapping[str, float] = {"latents": 0.05}

    def start(self, noise: Noise) -> Latent:
        """Noise like real latents: see `_smooth.py`."""
        width, height = (side // self.model.downscale for side in self.size)
        return self.constrain(
            {"latents": smooth_noise(noise, self.model.channels, (width, height))}
        )

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], as the model's `decode`, but with gradients."""
        model, latents = self.model, latent["latents"]
        plain = latents / model.scaling_factor + model.shift_factor
        pictures = model.vae.decode(plain.to(model.device, model.dtype))
        return clamp(pictures.to(latents.dtype).div(2).add(0.5))

    def constrain(self, latent: Latent) -> Latent:
        """Each value brought to within five standard deviations."""
        return {"latents": latent["latents"].clamp(-_LIMIT, _LIMIT)}

    def invert(self, pictures: Tensor) -> Latent:
        """The latents' mean for pictures (b, 3, h, w) in [0, 1]: as near as the autoencoder is."""
        return {"latents": self.model.encode(fitting(pictures, self.size))}
