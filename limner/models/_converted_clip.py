"""CLIP by OpenAI's names (github.com/openai/CLIP) → transformers' CLIPModel in a folder.

Everything but the heads' number is read off the tensors' shapes; a head has 64 channels. What
OpenAI published runs with QuickGELU.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models._tokenizer import clip_tokenizer

__all__ = ["write"]

_HEAD = 64
_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_OWN_WORDS = 49408  # of the vocabulary that comes with limner
_TOKENIZER = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json",
)  # fmt: skip
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


def write(state: dict[str, Tensor], folder: Path, tokenizer: Path | None) -> None:
    """The folder, float32. Raises BadInput for other CLIPs than those with a ViT."""
    from safetensors.torch import save_file

    if "visual.proj" not in state:
        raise BadInput("its picture tower is a ResNet, which transformers lacks: give one of a ViT")
    try:
        config = _config(state)
    except (KeyError, IndexError, ValueError):
        raise BadInput("its tensors are not those of a CLIP") from None
    folder.mkdir()
    save_file(_renamed(state), folder / "model.safetensors", metadata={"format": "pt"})
    seen = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": config["vision_config"]["image_size"]},
        "crop_size": config["vision_config"]["image_size"],
        "image_mean": _MEAN,
        "image_std": _STD,
        "resample": 3,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(seen, indent=1))
    _tokenizer(folder, tokenizer, config["text_config"])


def _config(state: dict[str, Tensor]) -> dict[str, Any]:
    words, width = state["token_embedding.weight"].shape
    across, _, patch, _ = state["visual.conv1.weight"].shape
    patches = state["visual.positional_embedding"].shape[0] - 1
    shared = state["text_projection"].shape[1]

    def tower(prefix: str, channels: int) -> dict[str, Any]:
        pattern = re.compile(re.escape(prefix) + r"transformer\.resblocks\.(\d+)\.")
        layers = {found[1] for name in state if (found := pattern.match(name))}
        return {
            "hidden_size": channels,
            "intermediate_size": state[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(channels // _HEAD, 1),
            "hidden_act": "quick_gelu",
            "projection_dim": shared,
        }

    text = {
        "model_type": "clip_text_model",
        "vocab_size": words,
        "max_position_embeddings": state["positional_embedding"].shape[0],
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
    }
    side = round(patches**0.5) * patch
    vision = {"model_type": "clip_vision_model", "image_size": side, "patch_size": patch}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": shared,
        "text_config": tower("", width) | text,
        "vision_config": tower("visual.", across) | vision,
    }


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names; projections the other way round, queries, keys and values apart."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        new = name
        for old, ours in _RULES:
            new = re.sub(old, ours, new)
        joined = re.fullmatch(r"(.+)\.attn\.in_proj_(weight|bias)", new)
        value = tensor.float()
        if joined:
            for each, part in zip("qkv", torch.chunk(value, 3)):
                out[f"{joined[1]}.self_attn.{each}_proj.{joined[2]}"] = part.clone()
        elif new != name or name == "logit_scale":  # others are sizes, which the config says
            turned = name in ("visual.proj", "text_projection")
            out[new] = (value.T if turned else value).clone(memory_format=torch.contiguous_format)
    return out


def _tokenizer(folder: Path, given: Path | None, text: dict[str, Any]) -> None:
    """CLIP's own, or a copy of the one given."""
    if given is not None:
        files = [given / name for name in _TOKENIZER if (given / name).is_file()]
        if not files:
            raise BadInput(f"no tokenizer in {str(given)!r}")
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return
    if text["vocab_size"] != _OWN_WORDS:
        raise BadInput(
            f"it knows {text['vocab_size']} tokens, CLIP's own tokenizer {_OWN_WORDS}: name the "
            "folder of its tokenizer with --tokenizer"
        )
    length = text["max_position_embeddings"]
    clip_tokenizer(length).backend.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=1))
