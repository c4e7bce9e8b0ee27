"""Stable Diffusion's autoencoder (Rombach et al. 2022), for running, not for training.

It reads the weights and the config.json of diffusers' AutoencoderKL and computes the same (a test
holds the two together); see `_unet.py` for why it is here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from limner.models._layers import (
    Downsample,
    Resnet,
    Upsample,
    attend,
    silu,
    to_picture,
    to_tokens,
)
from limner.models._packed import Conv2d, GroupNorm, Linear

__all__ = ["Autoencoder", "Decoder", "Encoder", "LibraryCodec", "renamed", "runs"]

_EPS = 1e-6  # of every norm in this network
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "attention_head_dim": (None,),
    "mid_block_add_attention": (True, False),
}
# The first checkpoints call the attention's weights by older names.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def runs(config: dict[str, Any]) -> bool:
    """Whether this file computes what the config describes."""
    blocks = config.get("block_out_channels", [64])
    downs = config.get("down_block_types", ["DownEncoderBlock2D"])
    ups = config.get("up_block_types", ["UpDecoderBlock2D"])
    return (
        all(config.get(key, allowed[0]) in allowed for key, allowed in _ALLOWED.items())
        and set(downs) == {"DownEncoderBlock2D"}
        and set(ups) == {"UpDecoderBlock2D"}
        and len(downs) == len(ups) == len(blocks)
    )


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under today's names, and their matrices as matrices (once 1×1 convolutions)."""
    out = {}
    for name, weight in weights.items():
        parts = [_OLD_NAMES.get(part, part) for part in name.split(".")]
        projects = "attentions" in parts and "spatial_norm" not in parts
        matrix = projects and weight.ndim == 4 and weight.shape[2:] == (1, 1)
        out[".".join(parts)] = weight[:, :, 0, 0] if matrix else weight
    return out


class Attention(nn.Module):
    """One head over the pixels, around a skip."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = GroupNorm(groups, width, _EPS)
        self.to_q, self.to_k, self.to_v = (Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = to_tokens(self.group_norm(x))
        mixed = attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), 1)
        return x + to_picture(self.to_out[0](mixed), x)


class Middle(nn.Module):
    def __init__(self, width: int, groups: int, attends: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(width, groups)] if attends else [])
        self.resnets = nn.ModuleList([Resnet(width, width, groups, _EPS) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.resnets[0], *self.attentions, self.resnets[1]):
            x = layer(x)
        return x


class Block(nn.Module):
    """The resnets of one resolution, and the change to the next."""

    def __init__(
        self,
        inner: int,
        outer: int,
        layers: int,
        groups: int,
        sampler: nn.Module | None,
    ) -> None:
        super().__init__()
        widths = [inner] + [outer] * layers
        pairs = list(pairwise(widths))
        self.resnets = nn.ModuleList([Resnet(a, b, groups, _EPS) for a, b in pairs])
        self.downsamplers = nn.ModuleList([sampler] if isinstance(sampler, Downsample) else [])
        self.upsamplers = nn.ModuleList([sampler] if isinstance(sampler, Upsample) else [])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class Encoder(nn.Module):
    """Pictures (b, 3, h, w) in [-1, 1] → (b, out, h/f, w/f): codes, or mean and log variance."""

    def __init__(
        self, widths: list[int], layers: int, out: int, groups: int, attends: bool
    ) -> None:
        super().__init__()
        self.conv_in = Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            sampler = Downsample(width, padded=False) if i < len(widths) - 1 else None
            inner = widths[max(i - 1, 0)]
            self.down_blocks.append(Block(inner, width, layers, groups, sampler))
        self.mid_block = Middle(widths[-1], groups, attends)
        self.conv_norm_out = GroupNorm(groups, widths[-1], _EPS)
        self.conv_out = Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents (b, c, h, w) → pictures (b, 3, f·h, f·w), about [-1, 1]."""

    def __init__(
        self, widths: list[int], layers: int, latent: int, groups: int, attends: bool
    ) -> None:
        super().__init__()
        self.conv_in = Conv2d(latent, widths[-1], 3, padding=1)
        self.mid_block = Middle(widths[-1], groups, attends)
        self.up_blocks = nn.ModuleList()
        for i in reversed(range(len(widths))):
            sampler = Upsample(widths[i]) if i > 0 else None
            inner = widths[min(i + 1, len(widths) - 1)]
            self.up_blocks.append(Block(inner, widths[i], layers + 1, groups, sampler))
        self.conv_norm_out = GroupNorm(groups, widths[0], _EPS)
        self.conv_out = Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """The two halves, between pictures in [-1, 1] and unscaled latents."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        latent, groups = config.get("latent_channels", 4), config.get("norm_num_groups", 32)
        widths, layers = config.get("block_out_channels", [64]), config.get("layers_per_block", 1)
        attends = config.get("mid_block_add_attention", True)
        self.encoder = Encoder(widths, layers, 2 * latent, groups, attends)
        self.decoder = Decoder(widths, layers, latent, groups, attends)
        quant, post = config.get("use_quant_conv", True), config.get("use_post_quant_conv", True)
        self.quant_conv = Conv2d(2 * latent, 2 * latent, 1) if quant else nn.Identity()
        self.post_quant_conv = Conv2d(latent, latent, 1) if post else nn.Identity()

    def encode(self, pictures: Tensor) -> Tensor:
        """(b, 3, h, w) in [-1, 1] → the latents' mean (b, c, h/f, w/f)."""
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        return self.quant_conv(self.encoder(pictures)).chunk(2, 1)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """(b, c, h, w) → (b, 3, f·h, f·w), about [-1, 1]."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        return self.decoder(self.post_quant_conv(latents))


class LibraryCodec(nn.Module):
    """diffusers' AutoencoderKL with an Autoencoder's methods, for configs left out above."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = vae

    def encode(self, pictures: Tensor) -> Tensor:
        return self.vae.encode(pictures).latent_dist.mean  # type: ignore[operator]

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents).sample  # type: ignore[operator]
