"""OpenAI's names of a CLIP's tensors, which open_clip kept → those of transformers' CLIPModel."""

from __future__ import annotations

import re

import torch
from torch import Tensor

__all__ = ["SIZES", "renamed"]

# What OpenAI's archives hold beside the weights; and a mask that older open_clips saved.
SIZES = ("input_resolution", "context_length", "vocab_size")
_LEFT_OUT = (*SIZES, "attn_mask")
_RULES = (
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^visual\.conv1\.weight$", "vision_model.embeddings.patch_embedding.weight"),
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),  # so spelt in transformers
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Projections the other way round, queries, keys and values apart; of a ViT's towers. A name
    that no rule knows stays as it is."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in _LEFT_OUT:
            continue
        new = name
        for old, ours in _RULES:
            new = re.sub(old, ours, new)
        joined = re.fullmatch(r"(.+)\.attn\.in_proj_(weight|bias)", new)
        if joined:
            for each, part in zip("qkv", torch.chunk(tensor, 3)):
                out[f"{joined[1]}.self_attn.{each}_proj.{joined[2]}"] = part.clone()
        elif name in ("visual.proj", "text_projection"):
            out[new] = tensor.T.contiguous()
        else:
            out[new] = tensor
    return out
