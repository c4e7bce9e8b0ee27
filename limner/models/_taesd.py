"""TAESD's network, whole or one half of it, and codecs whose halves are two.

It computes what diffusers' AutoencoderTiny does; see `_unet.py` for why it is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models._packed import Conv2d

__all__ = ["Halves", "Scale", "Tiny"]

Scale = tuple[float, float]
"""Factor and shift of a codec's latents: scaled = (latents - shift) · factor."""

_REACH = 3.0  # DecoderTiny: beyond ±3 latents are bent back
_WIDTHS, _ENCODER, _DECODER = [64, 64, 64, 64], [1, 3, 3, 3], [3, 3, 3, 1]  # diffusers' defaults


class Residual(nn.Module):
    """Three convolutions around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → its like."""
        return functional.relu(self.conv(x) + x)


class Layers(nn.Module):
    """Layers one after another, numbered as diffusers numbers them."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) → (b, c', h', w')."""
        return self.layers(x.contiguous(memory_format=torch.channels_last))


class Tiny(nn.Module):
    """Both halves, or one of them, between pictures in [-1, 1] and latents."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        latent = config.get("latent_channels", 4)
        down = _pairs(config, "encoder", _ENCODER)
        up = _pairs(config, "decoder", _DECODER)
        self.encoder = Layers(_encoding(down, latent)) if down else None
        self.decoder = Layers(_decoding(up, latent)) if up else None
        self.channels = latent
        self.downscales = {2 ** (len(blocks) - 1) for blocks in (down, up) if blocks}

    def encode(self, pictures: Tensor) -> Tensor:
        """(b, 3, h, w) in [-1, 1] → latents (b, c, h/f, w/f)."""
        if self.encoder is None:
            raise BadInput("this TAESD is a decoder alone: add its encoder's file, too")
        return self.encoder(pictures / 2 + 0.5)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, h, w) → pictures (b, 3, f·h, f·w), about [-1, 1]."""
        if self.decoder is None:
            raise BadInput("this TAESD is an encoder alone: add its decoder's file, too")
        return self.decoder((latents / _REACH).tanh() * _REACH) * 2 - 1


class Halves(nn.Module):
    """A codec whose halves are two codecs', each with its own scale: between pictures in [-1, 1]
    and latents as the U-Net sees them, so that its own factor is 1.

    scales:  factor and shift of the encoder's, then of the decoder's
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        scales: tuple[Scale, Scale],
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.scales = encoder, decoder, scales

    def encode(self, pictures: Tensor) -> Tensor:
        """(b, 3, h, w) in [-1, 1] → scaled latents (b, c, h/f, w/f)."""
        factor, shift = self.scales[0]
        return (self.encoder.encode(pictures) - shift) * factor  # type: ignore[operator]

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, c, h, w) → pictures (b, 3, f·h, f·w), about [-1, 1]."""
        factor, shift = self.scales[1]
        return self.decoder.decode(latents / factor + shift)  # type: ignore[operator]


def _pairs(
    config: dict[str, Any], half: Literal["encoder", "decoder"], usual: list[int]
) -> list[tuple[int, int]]:
    """Of each resolution, in order, its width and its number of residuals."""
    widths = config.get(f"{half}_block_out_channels", _WIDTHS)
    counts = config.get(f"num_{half}_blocks", usual)
    if len(widths) != len(counts):
        raise BadInput(f"its {half} has {len(widths)} widths and {len(counts)} numbers of blocks")
    return list(zip(widths, counts))


def _encoding(blocks: list[tuple[int, int]], latent: int) -> list[nn.Module]:
    layers: list[nn.Module] = [Conv2d(3, blocks[0][0], 3, padding=1)]
    for i, (width, count) in enumerate(blocks):
        if i > 0:
            layers.append(Conv2d(width, width, 3, stride=2, padding=1, bias=False))
        layers += [Residual(width) for _ in range(count)]
    return [*layers, Conv2d(blocks[-1][0], latent, 3, padding=1)]


def _decoding(blocks: list[tuple[int, int]], latent: int) -> list[nn.Module]:
    layers: list[nn.Module] = [Conv2d(latent, blocks[0][0], 3, padding=1), nn.ReLU()]
    for width, count in blocks[:-1]:
        layers += [Residual(width) for _ in range(count)]
        layers += [nn.Upsample(scale_factor=2), Conv2d(width, width, 3, padding=1, bias=False)]
    width, count = blocks[-1]
    return [*layers, *(Residual(width) for _ in range(count)), Conv2d(width, 3, 3, padding=1)]
