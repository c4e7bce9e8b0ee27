"""A tiny VQGAN."""

from __future__ import annotations

import torch

from limner.models._text_to_image import TextToImage
from limner.models.vqgan import Vqgan
from limner.noise import Noise


def quantised(model: TextToImage) -> Vqgan:
    """A VQGAN with this model's autoencoder, and 24 codes as its latents lie."""
    pictures = Noise(1, range(4)).uniform((3, 16, 16)).to(model.dtype)
    with torch.no_grad():
        z = model.vae.encode(pictures * 2 - 1)
    codebook = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])[::2][:24]
    return Vqgan(
        name="tiny", codec=model.vae, codebook=codebook, size=16, downscale=4, licence="MIT",
        files=(), dtype=model.dtype,
    )  # fmt: skip
