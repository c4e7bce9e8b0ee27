"""A text-to-image model of which only the autoencoder is there: random, tiny."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from limner.models._autoencoder import Autoencoder
from limner.models._text_to_image import TextToImage
from limner.models.vqgan import Vqgan
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
from _quantised import quantised


@pytest.fixture(scope="session")
def tiny_vqgan(tiny_model: TextToImage) -> Vqgan:
    return quantised(tiny_model)


@pytest.fixture(scope="session")
def tiny_model() -> TextToImage:
    """Latents of 4 channels, a fourth of the picture's side."""
    config = {"latent_channels": 4, "block_out_channels": [8, 8, 8], "norm_num_groups": 4}
    vae = Autoencoder(config)
    noise = Noise(0, [0])
    for name, weight in vae.named_parameters():
        drawn = noise.normal(weight.shape, purpose=name)[0]
        scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        if name.startswith("decoder.conv_out"):
            scale *= 0.2  # within [-1, 1], where nothing is clamped
        weight.data.copy_(offset + scale * drawn)
    return TextToImage(
        name="tiny", unet=torch.nn.Identity(), vae=vae.requires_grad_(False),
        text_encoder=torch.nn.Identity(), prediction="flow", alpha_bars=None,
        scaling_factor=0.5, shift_factor=0.25, channels=4, size=16, downscale=4, licence="MIT",
        files=(),
    )  # fmt: skip
