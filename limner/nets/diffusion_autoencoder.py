"""The networks of diffusion autoencoders (Preechakul et al. 2022, "Diffusion autoencoders: toward a
meaningful and decodable representation", section 3), of diffusers' blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Decoder", "SemanticEncoder"]

_GROUPS = 8  # of every norm


class SemanticEncoder(nn.Module):
    """Pictures (b, c, h, w) in [−1, 1] → z (b, code): half a U-Net, and the mean over all places.

    widths: of the blocks of each size, multiples of 8; between two, height and width halve
    layers: resnets at each size

    `mean` and `deviation` (code,) are those of z over pictures, for whoever draws z.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        channels: int,
        code: int = 512,
        widths: Sequence[int] = (64, 128, 256),
        layers: int = 1,
    ) -> None:
        super().__init__()
        from diffusers.models.autoencoders.vae import Encoder

        self.body = Encoder(
            in_channels=channels,
            out_channels=code,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            norm_num_groups=_GROUPS,
            double_z=False,
        )
        self.register_buffer("mean", torch.zeros(code))
        self.register_buffer("deviation", torch.ones(code))

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.body(x).mean((2, 3))
        return z


class Decoder(nn.Module):
    """x_t (b, c, h, w), timesteps (b,) and z (b, code) → ε (b, c, h, w).

    unet:  diffusers' UNet2DModel with class_embed_type identity: what `heard` makes of z is added
           to what it is told of the time, and both scale and shift every norm (eq. 7, AdaGN, where
           time and z have a factor each)
    """

    def __init__(self, unet: Any, code: int) -> None:
        super().__init__()
        self.unet = unet
        self.heard = nn.Linear(code, 4 * unet.config.block_out_channels[0])

    def forward(self, x: Tensor, timesteps: Tensor, z: Tensor) -> Tensor:
        said: Tensor = self.unet(x, timesteps, class_labels=self.heard(z)).sample
        return said
