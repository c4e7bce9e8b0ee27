"""Layers that the Stable Diffusion networks share, named as their checkpoints name the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models._eight_bits import EITHER, SILU
from limner.models._gather import unfolded
from limner.models._packed import Conv2d, GroupNorm

__all__ = [
    "Downsample",
    "Resnet",
    "Upsample",
    "as_many",
    "attend",
    "silu",
    "split_among",
    "to_picture",
    "to_tokens",
]

# heads·n for which plain products are faster than fused attention (at 16 rows, but asked without
# their number: a picture is the same in every batch).
_PLAIN = range(128, 1024)


def to_tokens(x: Tensor) -> Tensor:
    """(b, c, h, w) → (b, h·w, c); free of copying where x is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_picture(tokens: Tensor, like: Tensor) -> Tensor:
    """(b, h·w, c) → (b, c, h, w), channels-last, with h and w of `like`."""
    return tokens.unflatten(1, like.shape[2:]).permute(0, 3, 1, 2)


def as_many(x: Tensor, rows: int) -> Tensor:
    """(b, …) again and again, (rows, …), in the same layout (which `repeat` would not keep)."""
    return x if len(x) == rows else torch.cat([x] * (rows // len(x)))


def split_among(heads: int, width: int) -> int:
    """The number of heads, when the width can be split among them; else BadInput."""
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise BadInput(f"a width of {width} cannot be split among {heads} heads")
    return heads


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool = False) -> Tensor:
    """Softmax attention of q (b, n, d) over k and v (b, m, d), d split among heads → (b, n, d)."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    if q.is_cpu and q.dtype == torch.bfloat16 and not causal and q.shape[1] * q.shape[2] in _PLAIN:
        mixed = _products(q, k, v)
    else:
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return mixed.transpose(1, 2).flatten(2)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, (b, heads, n, d/heads): for many short rows faster than the fused kernel."""
    q, k, v, shape = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), q.shape
    none, scale = q.new_zeros(()), q.shape[2] ** -0.5
    weights = torch.baddbmm(none, q, k.transpose(1, 2), beta=0, alpha=scale).softmax(2)
    return torch.bmm(weights, v).view(shape)


def silu(x: Tensor) -> Tensor:
    """Of what nobody else looks at: in place where no gradient is wanted, for maps are large."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


class Resnet(nn.Module):
    """Norm, SiLU, convolution, twice, around a skip.

    The time, if any, is added in the middle; where it `scales`, it scales and shifts what the
    second norm gives (Dhariwal & Nichol 2021, §3).
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        groups: int,
        eps: float,
        scales: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, inner, eps)
        self.conv1 = Conv2d(inner, outer, 3, padding=1, zero=SILU)
        self.scales, self.told = scales, 2 * outer if scales else outer
        self.norm2 = GroupNorm(groups, outer, eps)
        self.conv2 = Conv2d(outer, outer, 3, padding=1, zero=SILU)
        self.conv_shortcut = Conv2d(inner, outer, 1) if inner != outer else None

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (b, inner, h, w), the time (b, told) → (b, outer, h, w).

        There may be k·b times: x is under each b of them, and what comes before is done once.
        """
        inside = self.conv1(silu(self.norm1(x)))
        if time is not None:
            inside, x = as_many(inside, len(time)), as_many(x, len(time))
        if time is None:
            inside = self.norm2(inside)
        elif self.scales:
            scale, shift = time[:, :, None, None].chunk(2, 1)
            inside = torch.addcmul(shift, self.norm2(inside), 1 + scale)
        else:
            inside = self.norm2(inside + time[:, :, None, None])
        inside = self.conv2(silu(inside))
        return inside + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Upsample(nn.Module):
    """Nearest neighbour to `size` (h, w) or the double, then a convolution of 3×3.

    Its weights are those of four convolutions of 2×2 on the small picture: see `_gather.folded`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, 4 * width, 2, padding=1, zero=EITHER)

    def forward(self, x: Tensor, size: torch.Size | None = None) -> Tensor:
        """(b, c, h, w) → (b, c, *size)."""
        c, h, w = x.shape[1:]
        if size is not None and size != (2 * h, 2 * w):  # an odd one, such as 7 from 4
            larger = functional.interpolate(x, size=size, mode="nearest")
            bias = None if self.conv.bias is None else self.conv.bias[:c]
            return functional.conv2d(larger, unfolded(self.conv.weight), bias, padding=1)
        four = self.conv(x).permute(0, 2, 3, 1).unflatten(3, (2, 2, c))  # (b, h+1, w+1, 2, 2, c)
        out = x.new_empty(len(x), h, 2, w, 2, c)
        for i in range(2):  # even rows, odd rows
            for j in range(2):
                out[:, :, i, :, j] = four[:, i : i + h, j : j + w, i, j]
        return out.flatten(1, 2).flatten(2, 3).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    """A convolution of stride 2, padded on all sides (U-Net) or only right and below (VAE)."""

    def __init__(self, width: int, padded: bool) -> None:
        super().__init__()
        self.conv = Conv2d(width, width, 3, stride=2, padding=1 if padded else 0)
        self.padded = padded

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.padded else functional.pad(x, (0, 1, 0, 1)))
