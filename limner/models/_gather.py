"""Weights in fewer and smaller operations than a checkpoint's file has them, exactly the same.

At the size of a latent, a call costs more than the arithmetic of a small matrix. So a U-Net's
projections of the time, one for each resnet, are one matrix, and so are the three of each
self-attention. A convolution of an enlarged picture is one of the small picture (`folded`); one of
1×1 around a transformer is a matrix.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

__all__ = ["folded", "gathered", "unfolded"]

_TIME = re.compile(
    r"(down_blocks|mid_block|up_blocks)\.?(\d*)\.resnets\.(\d+)\.time_emb_proj\.(weight|bias)"
)
_SELF = re.compile(r"(.*\.attn1)\.to_q\.weight")
_AROUND = re.compile(r".*\.proj_(in|out)\.weight")
_UP = re.compile(r".*\.upsamplers\.\d+\.conv\.(weight|bias)")
_ORDER = ("down_blocks", "mid_block", "up_blocks")  # in which a U-Net runs its blocks


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights, those of each `Upsample` as it runs them.

    Of a picture doubled by nearest neighbour, a 3×3 window sees 2×2 pixels of the picture itself:
    which, depends on whether its row and its column are even or odd. So it is four convolutions of
    2×2 on the small picture, (4·c, c, 2, 2), with 4/9 of the products (Shi et al. 2016, "Is the
    deconvolution layer the same as a convolutional layer?").
    """
    out = dict(state)
    for name, value in state.items():
        found = _UP.fullmatch(name)
        if found and found[1] == "bias":
            out[name] = value.repeat(4)
        elif found and value.shape[2:] == (3, 3):
            rows = _pairs(value.float(), 2)
            kernels = [columns for row in rows for columns in _pairs(row, 3)]
            out[name] = torch.cat(kernels)
    return out


def _pairs(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Three weights along `dim` as the two that an even, and the two that an odd place sees."""
    a, b, c = weight.split(1, dim)
    return torch.cat([a, b + c], dim), torch.cat([a + b, c], dim)


def unfolded(weight: Tensor) -> Tensor:
    """What `folded` was given: (4·c, c, 2, 2) → (c, c, 3, 3)."""
    (even, even_odd), (odd_even, odd) = (part.chunk(2) for part in weight.chunk(2))
    return _triple(_triple(even, even_odd, 3), _triple(odd_even, odd, 3), 2)


def _triple(even: Tensor, odd: Tensor, dim: int) -> Tensor:
    (a, bc), (_, c) = even.split(1, dim), odd.split(1, dim)
    return torch.cat([a, bc - c, c], dim)


def gathered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of diffusers' UNet2DConditionModel under the names of `_unet.UNet`.

    What is not all there is left under its own name, for whoever loads it to complain of.
    """
    out = folded(state)
    for name, value in state.items():
        if _AROUND.fullmatch(name) and value.shape[2:] == (1, 1):
            out[name] = value[:, :, 0, 0]
        found = _SELF.fullmatch(name)
        parts = [f"{found[1]}.to_{each}.weight" for each in "qkv"] if found else []
        if found and all(part in out for part in parts):
            out[f"{found[1]}.to_qkv.weight"] = torch.cat([out.pop(part) for part in parts])
    for kind in ("weight", "bias"):
        names = [each for each in map(_TIME.fullmatch, out) if each and each[4] == kind]
        names.sort(key=lambda each: (_ORDER.index(each[1]), int(each[2] or 0), int(each[3])))
        if names:
            rows = [out.pop(each[0]) for each in names]
            out[f"time_projections.{kind}"] = torch.cat(rows)
    return out
