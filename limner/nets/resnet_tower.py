"""CLIP's ResNet picture tower (Radford et al. 2021, section 2.4 and appendix F).

A ResNet-D: a stem of three convolutions, and every stride after its first replaced by average
pooling before a convolution of stride 1, which keeps high frequencies from folding into low ones
(Zhang 2019); the global average at the end is replaced by attention. Parameters are named as in the
published checkpoints below `visual.`, so that those load with the prefix cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SMALL", "ResNetTower"]

SMALL = (2, 2, 2, 2)  # layers of the towers that limner itself trains

EXPANSION = 4  # a bottleneck's output is this much wider than its inside (He et al. 2015)
REDUCTION = 32  # pixels of the picture along one cell of the last map
HEAD_WIDTH = 64


class ResNetTower(nn.Module):
    """(b, 3, s, s) normalised pictures → (b, d), s = input_size.

    | published | width | layers       | output_dim | input_size |  parameters |
    |-----------|-------|--------------|------------|------------|-------------|
    | RN50      |    64 | 3, 4, 6, 3   |       1024 |        224 |  38,316,896 |
    | RN101     |    64 | 3, 4, 23, 3  |        512 |        224 |  56,259,936 |
    | RN50x4    |    80 | 4, 6, 10, 6  |        640 |        288 |  87,137,080 |

    Raises ValueError for sizes that do not divide evenly, and for pictures of another size.
    """

    def __init__(
        self,
        output_dim: int,
        width: int = 64,
        layers: Sequence[int] = (3, 4, 6, 3),
        input_size: int = 224,
    ) -> None:
        super().__init__()
        if len(layers) != 4 or min(layers) < 1:
            raise ValueError(f"layers is {tuple(layers)}; expected four numbers of at least 1")
        if width % 2 or input_size % REDUCTION:
            raise ValueError(
                f"width {width} must be even and input_size {input_size} a multiple of {REDUCTION}"
            )
        self.input_size = input_size
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        outside = width * EXPANSION
        self.layer1 = _stage(width, width, layers[0], stride=1)
        self.layer2 = _stage(outside, 2 * width, layers[1], stride=2)
        self.layer3 = _stage(2 * outside, 4 * width, layers[2], stride=2)
        self.layer4 = _stage(4 * outside, 8 * width, layers[3], stride=2)
        self.attnpool = _AttentionPool(input_size // REDUCTION, 8 * outside, output_dim)

    def forward(self, pictures: Tensor) -> Tensor:
        size = self.input_size
        if pictures.shape[1:] != (3, size, size):
            raise ValueError(f"pictures {tuple(pictures.shape)}; expected (b, 3, {size}, {size})")
        x = F.relu(self.bn1(self.conv1(pictures)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)  # (b, width, s/4, s/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (b, 32·width, s/32, s/32)
        pooled: Tensor = self.attnpool(x)
        return pooled


def _stage(inside: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """(b, inside, h, w) → (b, 4·width, h/stride, w/stride)."""
    rest = (_Bottleneck(width * EXPANSION, width) for _ in range(blocks - 1))
    return nn.Sequential(_Bottleneck(inside, width, stride), *rest)


class _Bottleneck(nn.Module):
    """(b, inside, h, w) → (b, 4·width, h/stride, w/stride)."""

    def __init__(self, inside: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outside = width * EXPANSION
        self.stride = stride
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        nn.init.zeros_(self.bn3.weight)  # a block is the identity at first (Goyal et al. 2017, 5.1)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or inside != outside:
            straight = nn.Conv2d(inside, outside, 1, bias=False)
            self.downsample = nn.Sequential(straight, nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = _pool(F.relu(self.bn2(self.conv2(y))), self.stride)
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            x = self.downsample(_pool(x, self.stride))
        return F.relu(x + y)


def _pool(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, stride) if stride > 1 else x


class _AttentionPool(nn.Module):
    """(b, width, side, side) → (b, output_dim): the mean of the cells asks, it and they answer."""

    def __init__(self, side: int, width: int, output_dim: int) -> None:
        super().__init__()
        if width % HEAD_WIDTH:
            raise ValueError(f"the last map has {width} channels; expected whole {HEAD_WIDTH}s")
        self.positional_embedding = nn.Parameter(torch.empty(side**2 + 1, width))
        self.k_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, output_dim)
        if self.positional_embedding.is_meta:  # drawing there would import torch's compiler (3 s)
            return
        nn.init.normal_(self.positional_embedding, std=width**-0.5)
        for layer in (self.k_proj, self.q_proj, self.v_proj, self.c_proj):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        cells = x.flatten(2).transpose(1, 2)  # (b, side², width)
        cells = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        cells = cells + self.positional_embedding
        answer = F.scaled_dot_product_attention(
            _heads(self.q_proj(cells[:, :1])),
            _heads(self.k_proj(cells)),
            _heads(self.v_proj(cells)),
        )  # (b, heads, 1, 64)
        pooled: Tensor = self.c_proj(answer.flatten(1))
        return pooled


def _heads(x: Tensor) -> Tensor:
    """(b, n, width) → (b, heads, n, 64)."""
    return x.unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)
