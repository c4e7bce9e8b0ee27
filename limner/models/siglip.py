"""SigLIP (Zhai et al. 2023) and SigLIP 2 of fixed size (Tschannen et al. 2025), from folders of
transformers' SiglipModel.

A pair's chance is its own: sigmoid(scale·cosine + bias), not one among others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _folder
from limner.models._layers import to_tokens
from limner.models._towers import Towers
from limner.models._transformer import Attention, Encoder, FeedForward, TextEmbeddings, table

__all__ = ["siglip_towers"]

# What transformers takes where a config says nothing: the sizes of the published base model.
_BOTH: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
_BOTH |= {"num_attention_heads": 12, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
_TEXT = {"vocab_size": 32000, "max_position_embeddings": 64}
_VISION = {"image_size": 224, "patch_size": 16}


class _Patches(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch)
        self.position_embedding = table((config["image_size"] // patch) ** 2, width)

    def forward(self, pictures: Tensor) -> Tensor:
        return to_tokens(self.patch_embedding(pictures)) + self.position_embedding.weight


class _Head(nn.Module):
    """States (b, n, d) → (b, d): what a learned question finds in them (MAP, Zhai et al. 2022)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.probe = nn.Parameter(torch.empty(1, 1, width))
        self.attention = Attention(width, config["num_attention_heads"], causal=False)
        self.layernorm = nn.LayerNorm(width, config["layer_norm_eps"])
        self.mlp = FeedForward(width, config["intermediate_size"], config["hidden_act"])

    def forward(self, states: Tensor) -> Tensor:
        found = self.attention(self.probe.expand(len(states), -1, -1), states)
        pooled: Tensor = found + self.mlp(self.layernorm(found))
        return pooled[:, 0]


class _Pictures(nn.Module):
    """Normalised pictures (b, 3, side, side) → (b, d)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.embeddings = _Patches(config)
        self.encoder = Encoder(config, causal=False)
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], config["layer_norm_eps"])
        self.head = _Head(config)

    def forward(self, pictures: Tensor) -> Tensor:
        states = self.post_layernorm(self.encoder(self.embeddings(pictures)))
        pooled: Tensor = self.head(states)
        return pooled


class _Texts(nn.Module):
    """Tokens (b, length) → (b, d): the state of the last, a filling one as a rule, projected."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        words, length = config["vocab_size"], config["max_position_embeddings"]
        self.embeddings = TextEmbeddings(words, length, width)
        self.encoder = Encoder(config, causal=False)
        self.final_layer_norm = nn.LayerNorm(width, config["layer_norm_eps"])
        self.head = nn.Linear(width, config.get("projection_size") or width)

    def forward(self, tokens: Tensor) -> Tensor:
        states = self.encoder(self.embeddings(tokens))
        found: Tensor = self.head(self.final_layer_norm(states[:, -1]))
        return found


def siglip_towers(config: dict[str, Any], folder: Path) -> Towers:
    """Those of a SiglipModel. Raises BadInput where config or weights are not one's."""
    said = [config.get(f"{part}_config") or {} for part in ("text", "vision")]
    if not all(isinstance(part, dict) for part in said):
        raise BadInput(f"the config in {str(folder)!r} has no text_config or vision_config")
    text, vision = _BOTH | _TEXT | said[0], _BOTH | _VISION | said[1]
    if vision.get("vision_use_head") is False:
        raise BadInput(
            f"the SigLIP in {str(folder)!r} has no head: give one that was trained whole"
        )
    for part in (text, vision):
        _folder.check_numbers(part, folder)

    def make(_: dict[str, Any]) -> Towers:
        side, length = vision["image_size"], text["max_position_embeddings"]
        return Towers(_Pictures(vision), _Texts(text), side, length, biased=True, padded=True)

    return _folder.assembled(make, config, _placed(_folder.weights(folder)), folder)


def _placed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """SiglipModel's names → ours; the head's queries, keys and values apart."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        new = name.replace("vision_model.", "pictures.", 1).replace("text_model.", "texts.", 1)
        begin, joined, kind = new.partition("attention.in_proj_")
        if new.endswith("position_ids"):
            continue
        if joined:
            for each, part in zip("qkv", tensor.chunk(3)):
                out[f"{begin}attention.{each}_proj.{kind}"] = part
        else:
            out[new] = tensor.reshape(()) if new in ("logit_scale", "logit_bias") else tensor
    return out
