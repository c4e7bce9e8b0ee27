"""Where the text comes into the U-Net: cross-attention over feature maps, and the pooled text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.models._eight_bits import EITHER
from limner.models._layers import attend, split_among, to_picture, to_tokens
from limner.models._packed import GroupNorm, Linear

__all__ = ["PooledText", "Transformer"]


class SelfAttention(nn.Module):
    """Of d-wide tokens over themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = split_among(heads, width)
        self.to_qkv = Linear(width, 3 * width, bias=False, zero=EITHER)
        self.to_out = nn.ModuleList([Linear(width, width)])

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.to_qkv(tokens).chunk(3, dim=2)
        return self.to_out[0](attend(q, k, v, self.heads))


class CrossAttention(nn.Module):
    """Of d-wide tokens over the text, `context` wide."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = split_among(heads, width)
        self.to_q = Linear(width, width, bias=False)
        self.to_k = Linear(context, width, bias=False)
        self.to_v = Linear(context, width, bias=False)
        self.to_out = nn.ModuleList([Linear(width, width)])

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.to_out[0](attend(self.to_q(tokens), keys, values, self.heads))


class Gate(nn.Module):
    """GEGLU (Shazeer 2020): half of the projection times GELU of the other half."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = Linear(width, 2 * inner, zero=EITHER)

    def forward(self, tokens: Tensor) -> Tensor:
        value, gate = self.proj(tokens).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # The checkpoints' second entry is a dropout, without weights.
        out = Linear(4 * width, width, zero=EITHER)
        self.net = nn.ModuleList([Gate(width, 4 * width), nn.Identity(), out])

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net[2](self.net[0](tokens))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = CrossAttention(width, heads, context)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        tokens = tokens + self.attn1(self.norm1(tokens))
        tokens = tokens + self.attn2(self.norm2(tokens), keys, values)
        return tokens + self.ff(self.norm3(tokens))


class Transformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, which the text informs."""

    def __init__(
        self, width: int, heads: int, context: int, config: dict[str, Any], depth: int = 1
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(config.get("norm_num_groups", 32), width, 1e-6)
        self.proj_in = Linear(width, width)  # in some checkpoints convolutions of 1×1
        blocks = [TransformerBlock(width, heads, context) for _ in range(depth)]
        self.transformer_blocks = nn.ModuleList(blocks)
        self.proj_out = Linear(width, width)

    def told(self, text: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The text (b, n, d) as the blocks' keys and values (b, n, c)."""
        return [(block.attn2.to_k(text), block.attn2.to_v(text)) for block in self.blocks()]

    def blocks(self) -> list[TransformerBlock]:
        return list(self.transformer_blocks)  # type: ignore[arg-type]

    def forward(self, x: Tensor, states: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """x (b, c, h, w), `told` of the text → (b, c, h, w)."""
        tokens = self.proj_in(to_tokens(self.norm(x)))
        for block, (keys, values) in zip(self.transformer_blocks, states):
            tokens = block(tokens, keys, values)
        return to_picture(to_tokens(x) + self.proj_out(tokens), x)


class Pool(nn.Module):
    """Attention of the text's mean over the text: (b, n, d) → (b, d)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = split_among(heads, width)
        self.positional_embedding = nn.Parameter(torch.empty(1, width))
        self.k_proj = Linear(width, width)
        self.q_proj = Linear(width, width)
        self.v_proj = Linear(width, width)

    def forward(self, text: Tensor) -> Tensor:
        asking = text.mean(1, keepdim=True) + self.positional_embedding
        text = torch.cat([asking, text], 1)
        return attend(self.q_proj(asking), self.k_proj(text), self.v_proj(text), self.heads)[:, 0]


class PooledText(nn.Module):
    """What the text adds to the time embedding (addition_embed_type "text")."""

    def __init__(self, context: int, time: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(context)
        self.pool = Pool(context, heads)
        self.proj = Linear(context, time)
        self.norm2 = nn.LayerNorm(time)

    def forward(self, text: Tensor) -> Tensor:
        return self.norm2(self.proj(self.pool(self.norm1(text))))
