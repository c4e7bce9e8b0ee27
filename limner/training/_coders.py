"""What an autoencoder's training is made of: the networks, at their first weights, and features."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ClipFeatures", "PatchDiscriminator", "Perceptual", "build_kl", "build_vq", "vq_of_kl"]

WIDTHS = (16, 32, 64, 128)  # f8: three halvings


class Perceptual(Protocol):
    """Features of pictures in [0, 1] whose distance is what the eye sees."""

    def features(self, pictures: Tensor) -> list[Tensor]: ...


class ClipFeatures:
    """Token states of every layer of limner's own CLIP, each normalised to length 1.

    As LPIPS (Zhang et al. 2018) does with features of a classifier: distances of normalised
    activations. Pictures of any size are brought to the tower's.
    """

    def __init__(self, folder: str | Path) -> None:
        from limner.models.clip import open_clip

        self.clip = open_clip(folder)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """(b, 3, h, w) in [0, 1] → for each layer (b, n, d)."""
        self.clip.towers.to(pictures.device)
        states = self.clip.hidden_states(pictures)
        return [F.normalize(state, dim=-1) for state in states]


def build_kl(widths: tuple[int, ...] = WIDTHS, latent_channels: int = 8) -> Any:
    """A small ``AutoencoderKL``: f8 with four widths, no attention so that any size works alike."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=128,
    )
    _let_through(model, latent_channels)
    return model


def _let_through(model: Any, latent_channels: int) -> None:
    """Start from weights through which the picture already shows.

    Convolutions on the main path begin as the identity plus noise, residual branches as zero (Zhang
    et al. 2019, Fixup): 60 steps bring 17 dB where PyTorch's defaults bring 13. The posterior
    starts quiet (σ = 0.05), or its noise would hide the picture for long.
    """
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
            continue
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        if not name.endswith("conv1"):
            identity = nn.init.dirac_(torch.empty_like(module.weight))
            with torch.no_grad():
                module.weight.mul_(0.7).add_(identity)
    with torch.no_grad():
        model.quant_conv.weight[latent_channels:] = 0
        model.quant_conv.bias[latent_channels:] = -6


def build_vq(widths: tuple[int, ...] = WIDTHS, codes: int = 1024) -> Any:
    """A small ``VQModel`` with a codebook of ``codes`` vectors of 8 numbers, not set yet.

    So few: a code is looked up in a space of few dimensions (Yu et al. 2022, "Vector-quantized
    Image Modeling with Improved VQGAN", section 3.2: that keeps a codebook in use).
    """
    kl = build_kl(widths)
    kl.register_to_config(scaling_factor=1.0)  # its first weights let the picture's own scale be
    return vq_of_kl(kl, codes)


@torch.no_grad()
def vq_of_kl(kl: Any, codes: int) -> Any:
    """A ``VQModel`` that encodes and decodes as an ``AutoencoderKL`` does, before any quantising.

    Its continuous z is the posterior's mean times the scaling factor, so of about unit variance.
    The codebook is not set yet.
    """
    from diffusers.models.autoencoders.vq_model import VQModel

    said, channels = kl.config, kl.config.latent_channels
    shared = (
        "in_channels", "out_channels", "down_block_types", "up_block_types", "block_out_channels",
        "layers_per_block", "act_fn", "latent_channels", "sample_size", "norm_num_groups",
        "mid_block_add_attention",
    )  # fmt: skip
    model = VQModel(**{name: said[name] for name in shared}, num_vq_embeddings=codes)
    scale, shift = said.scaling_factor or 1.0, said.shift_factor or 0.0
    weights = {name: w.clone() for name, w in kl.state_dict().items() if "quant_conv" not in name}
    # The convolution before the bottleneck takes in the 1×1 one after it, and half of both is
    # enough: what gives the mean.
    weight, bias = (weights[f"encoder.conv_out.{part}"] for part in ("weight", "bias"))
    if kl.quant_conv is not None:
        mixed, offset = kl.quant_conv.weight[:channels, :, 0, 0], kl.quant_conv.bias[:channels]
        weight, bias = torch.einsum("oi,i...->o...", mixed, weight), mixed @ bias + offset
    weights["encoder.conv_out.weight"] = weight[:channels] * scale
    weights["encoder.conv_out.bias"] = (bias[:channels] - shift) * scale
    identity = torch.eye(channels)[:, :, None, None]
    weights |= {"quant_conv.weight": identity, "quant_conv.bias": torch.zeros(channels)}
    after, offset = identity, torch.zeros(channels)
    if kl.post_quant_conv is not None:
        after, offset = kl.post_quant_conv.weight, kl.post_quant_conv.bias
    weights["post_quant_conv.weight"] = after / scale
    weights["post_quant_conv.bias"] = offset + shift * after.sum((1, 2, 3))
    weights["quantize.embedding.weight"] = model.quantize.embedding.weight
    model.load_state_dict(weights)
    return model


class PatchDiscriminator(nn.Sequential):
    """Says of each patch of 38 pixels whether it is a photograph.

    The discriminator of Isola et al. 2017, appendix 6.1.2, with one halving fewer than its 70-pixel
    form, for small pictures. Pictures (b, 3, h, w) in [-1, 1] → logits (b, 1, h/8, w/8), high for
    real.
    """

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(2):
            inside, outside = width * 2**level, width * 2 ** (level + 1)
            layers += [
                nn.Conv2d(inside, outside, 4, 2, 1),
                nn.GroupNorm(8, outside),
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(4 * width, 1, 3, 1, 1))
