"""Numbers that a U-Net is told as waves: the time, the guidance it was distilled from, and XL's
sizes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models._packed import Linear

__all__ = ["SizedText", "TimeEmbedding", "time_ids", "told_scale", "waves"]

_IDS = 6  # numbers that XL is told of a picture: see `time_ids`
_SCALED = 1000.0  # of a guidance scale among timesteps (Luo et al. 2023, their code)


class TimeEmbedding(nn.Module):
    """Waves (b, inner) → (b, outer). A network distilled from guidance is told its scale, too:
    waves of `told` numbers that a matrix of their own adds to the time's (Meng et al. 2023)."""

    def __init__(self, inner: int, outer: int, told: int | None = None) -> None:
        super().__init__()
        if told is not None and (told < 4 or told % 2):
            raise BadInput(f"it is told the guidance in {told} numbers: expected an even number")
        self.linear_1 = Linear(inner, outer)
        self.linear_2 = Linear(outer, outer)
        self.cond_proj = Linear(told, inner, bias=False) if told else None
        self.told = told or 0

    def forward(self, x: Tensor, guidance: Tensor | None = None) -> Tensor:
        x = x if guidance is None else x + guidance
        return self.linear_2(functional.silu(self.linear_1(x)))

    def guidance(self, scale: float, like: Tensor) -> Tensor | None:
        """What a guidance scale adds to the waves of any time, (1, inner); None where the network
        does not take it."""
        if self.cond_proj is None:
            return None
        said: Tensor = self.cond_proj(told_scale(scale, self.told, like))
        return said


class SizedText(nn.Module):
    """What XL's text and sizes add to the time embedding (addition_embed_type "text_time"; Podell
    et al. 2023, section 2.2).

    The pooled text comes as the first row of the condition, see `TextEncoder`.
    """

    def __init__(self, config: dict[str, Any], time: int) -> None:
        super().__init__()
        self.each = config["addition_time_embed_dim"]
        taken = config["projection_class_embeddings_input_dim"]
        self.pooled = taken - _IDS * self.each
        self.shift, self.flip = config.get("freq_shift", 0), config.get("flip_sin_to_cos", True)
        if self.pooled < 1 or self.each < 2 or self.each % 2:
            raise BadInput(
                f"it takes {taken} numbers of text and sizes, {self.each} for each size: expected "
                "6 sizes, as in XL's base (its refiner takes others)"
            )
        self.linear_1 = Linear(taken, time)
        self.linear_2 = Linear(time, time)

    def forward(self, pooled: Tensor, size: tuple[int, int]) -> Tensor:
        """pooled (b, d), d ≥ `pooled`, of pictures of this size, height and width → (b, time)."""
        ids = time_ids(size, pooled)
        sizes = waves(ids, self.each, self.shift, self.flip).flatten().expand(len(pooled), -1)
        told = torch.cat([pooled[:, : self.pooled], sizes.to(pooled)], 1)
        return self.linear_2(functional.silu(self.linear_1(told)))


def time_ids(size: tuple[int, int], like: Tensor) -> Tensor:
    """The six numbers (float32) that XL is told of a picture of this height and width: its size
    before it was cropped, where that began, and its size. It is whole, so the two are one."""
    return torch.tensor([*size, 0, 0, *size], dtype=torch.float32, device=like.device)


def told_scale(scale: float, width: int, like: Tensor) -> Tensor:
    """A guidance scale as waves (1, width); 1 is no guidance, and told as 0 (Meng et al. 2023)."""
    number = torch.tensor([(scale - 1) * _SCALED], device=like.device)
    return waves(number, width, shift=1, cosines_first=False).to(like)


def waves(numbers: Tensor, width: int, shift: int = 0, cosines_first: bool = True) -> Tensor:
    """(b,) → (b, width) float32: sines and cosines of falling frequency (Vaswani et al. 2017)."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=numbers.device)
    angles = numbers[:, None] * torch.exp(steps * (-math.log(10_000) / (half - shift)))
    both = [angles.sin(), angles.cos()]
    return torch.cat(both[::-1] if cosines_first else both, 1)
