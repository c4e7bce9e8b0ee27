"""CLIP's two transformers (Radford et al. 2021), for running, not for training.

They read the weights and configs of transformers' CLIPTextModel and CLIPModel and compute the same
(tests hold them together): importing transformers' class takes longer than painting a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models._layers import attend, split_among, to_tokens

__all__ = [
    "Attention",
    "Encoder",
    "FeedForward",
    "TextEmbeddings",
    "TextTower",
    "VisionTower",
    "table",
]


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _tanh_gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": _quick_gelu,
    "gelu": functional.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": functional.relu,
}


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = split_among(heads, width), causal
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Each of x (b, n, d) looks at all of `seen` (b, m, d)."""
        q, k, v = self.q_proj(x), self.k_proj(seen), self.v_proj(seen)
        return self.out_proj(attend(q, k, v, self.heads, causal=self.causal))


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise BadInput(f"activation {activation!r}: known are {', '.join(_ACTIVATIONS)}")
        self.activation = _ACTIVATIONS[activation]
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, config: dict[str, Any], causal: bool) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-5)
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.self_attn = Attention(width, config["num_attention_heads"], causal)
        self.layer_norm2 = nn.LayerNorm(width, eps)
        activation = config.get("hidden_act", "quick_gelu")
        self.mlp = FeedForward(width, config["intermediate_size"], activation)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.layer_norm1(x)
        x = x + self.self_attn(normed, normed)
        return x + self.mlp(self.layer_norm2(x))

    def first(self, x: Tensor) -> Tensor:
        """What becomes of the first token alone, (b, 1, d): a fraction of the work."""
        normed = self.layer_norm1(x)
        first = x[:, :1] + self.self_attn(normed[:, :1], normed)
        return first + self.mlp(self.layer_norm2(first))


class Encoder(nn.Module):
    def __init__(self, config: dict[str, Any], causal: bool) -> None:
        super().__init__()
        count = config["num_hidden_layers"]
        self.layers = nn.ModuleList([Block(config, causal) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        return self.states(x)[-1]

    def first(self, x: Tensor) -> Tensor:
        """The last state of the first token, (b, d)."""
        *layers, last = self.layers
        for layer in layers:
            x = layer(x)
        assert isinstance(last, Block)
        return last.first(x)[:, 0]

    def states(self, x: Tensor) -> list[Tensor]:
        """x, and what each layer makes of it."""
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return states


def table(rows: int, width: int) -> nn.Embedding:
    """An embedding without first values: drawing them would import torch's compiler (2 s)."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width))


class TextEmbeddings(nn.Module):
    def __init__(self, words: int, length: int, width: int) -> None:
        super().__init__()
        self.token_embedding = table(words, width)
        self.position_embedding = table(length, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class TextTower(nn.Module):
    """Tokens (b, n) → states (b, n, d), each of which has seen what is before it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        words, length = config.get("vocab_size", 49408), config.get("max_position_embeddings", 77)
        self.length = length
        self.end: int = config.get("eos_token_id", 49407)
        self.embeddings = TextEmbeddings(words, length, width)
        self.encoder = Encoder(config, causal=True)
        self.final_layer_norm = nn.LayerNorm(width, config.get("layer_norm_eps", 1e-5))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.final_layer_norm(self.encoder(self.embeddings(tokens)))

    def pooled(self, tokens: Tensor) -> Tensor:
        """The state (b, d) of each text's end: its first end token."""
        return self.at_end(self(tokens), tokens)

    def at_end(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Of states (b, n, d) those (b, d) at the ends.

        Configs from before 2023 say 2 for the end token, wrongly; there the end is the highest id.
        """
        ends = tokens.argmax(1) if self.end == 2 else (tokens == self.end).int().argmax(1)
        return states[torch.arange(len(tokens), device=tokens.device), ends]


class PatchEmbeddings(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        count = (config["image_size"] // patch) ** 2
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.position_embedding = table(count + 1, width)

    def forward(self, pictures: Tensor) -> Tensor:
        patches = to_tokens(self.patch_embedding(pictures))
        first = self.class_embedding.expand(len(pictures), 1, -1)
        return torch.cat([first, patches], 1) + self.position_embedding.weight


class VisionTower(nn.Module):
    """Normalised pictures (b, 3, side, side) → (b, d)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-5)
        self.side: int = config["image_size"]
        self.embeddings = PatchEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(width, eps)  # the checkpoints' spelling
        self.encoder = Encoder(config, causal=False)
        self.post_layernorm = nn.LayerNorm(width, eps)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.post_layernorm(self.encoder.first(self._begun(pictures)))

    def states(self, pictures: Tensor) -> list[Tensor]:
        """Of the class token and the patches (b, n, d): before the first layer, after each."""
        return self.encoder.states(self._begun(pictures))

    def _begun(self, pictures: Tensor) -> Tensor:
        begun: Tensor = self.pre_layrnorm(self.embeddings(pictures))
        return begun
