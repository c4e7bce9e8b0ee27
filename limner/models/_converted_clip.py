"""CLIP by OpenAI's names (github.com/openai/CLIP) → a folder: of a ViT transformers' CLIPModel, of
a ResNet, which transformers lacks, open_clip's layout; and open_clip's own pickled files.

Everything of OpenAI's but the heads' number is read off the tensors' shapes; a head has 64
channels. What OpenAI published runs with QuickGELU, most of open_clip's with GELU: nothing in the
tensors tells, so that a file without OpenAI's sizes must have open_clip's config beside it.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._open_clip_names import SIZES, renamed
from limner.models._sight import MEAN, STD
from limner.models._tokenizer import clip_tokenizer
from limner.models.open_clip import CONFIG, OWN_WORDS, WEIGHTS, open_parts

__all__ = ["write"]

_HEAD = 64
_REDUCED = 32  # pixels of the picture along one cell of a ResNet's last map
_TOKENIZER = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json",
)  # fmt: skip


def write(
    state: dict[str, Tensor], folder: Path, tokenizer: Path | None, config: Path | None = None
) -> None:
    """The folder, float32. `config` is where open_clip's would lie.

    Raises BadInput where the tensors are not a CLIP's, or do not tell which activation they had.
    """
    try:
        if config is not None and config.is_file():
            said = _folder.read_json(config)
            words = said["model_cfg"]["text_cfg"].get("vocab_size", OWN_WORDS)
        elif not any(size in state for size in SIZES):
            raise BadInput(
                "it does not tell OpenAI's (QuickGELU) from open_clip's (most often GELU): put "
                f"its {CONFIG} beside it"
            )
        elif "visual.proj" in state:
            _write_transformers(state, folder, tokenizer)
            return
        else:
            said, words = _open_clip_config(state), len(state["token_embedding.weight"])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise BadInput("its tensors or config are not those of a CLIP") from None
    _write_open_clip(state, folder, said)
    if words != OWN_WORDS:
        length = len(state["positional_embedding"])
        _tokenizer(folder, tokenizer, {"vocab_size": words, "max_position_embeddings": length})
    open_parts(folder)  # raises BadInput where config and tensors do not fit


def _write_transformers(state: dict[str, Tensor], folder: Path, tokenizer: Path | None) -> None:
    from safetensors.torch import save_file

    config = _config(state)
    folder.mkdir()
    known = ("vision_model.", "text_model.", "visual_projection.", "text_projection.")
    kept = {
        name: tensor.float().contiguous()
        for name, tensor in renamed(state).items()
        if name.startswith(known) or name == "logit_scale"
    }
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    seen = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": config["vision_config"]["image_size"]},
        "crop_size": config["vision_config"]["image_size"],
        "image_mean": MEAN,
        "image_std": STD,
        "resample": 3,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(seen, indent=1))
    _tokenizer(folder, tokenizer, config["text_config"])


def _write_open_clip(state: dict[str, Tensor], folder: Path, said: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    kept = {name: value.float().contiguous() for name, value in state.items() if name not in SIZES}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(said, indent=1))


def _open_clip_config(state: dict[str, Tensor]) -> dict[str, Any]:
    """Of OpenAI's ResNets."""
    words, width = state["token_embedding.weight"].shape
    cells = len(state["visual.attnpool.positional_embedding"]) - 1
    vision = {
        "image_size": round(cells**0.5) * _REDUCED,
        "layers": [_blocks(state, rf"visual\.layer{stage}\.") for stage in (1, 2, 3, 4)],
        "width": len(state["visual.layer1.0.conv1.weight"]),
        "patch_size": None,
    }
    text = {
        "context_length": len(state["positional_embedding"]),
        "vocab_size": words,
        "width": width,
        "heads": max(width // _HEAD, 1),
        "layers": _blocks(state, r"transformer\.resblocks\."),
    }
    shared = state["text_projection"].shape[1]
    model = {"embed_dim": shared, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    seen = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    return {"model_cfg": model, "preprocess_cfg": seen}


def _blocks(state: dict[str, Tensor], pattern: str) -> int:
    """How many numbers follow the pattern."""
    return len({found[1] for name in state if (found := re.match(pattern + r"(\d+)\.", name))})


def _config(state: dict[str, Tensor]) -> dict[str, Any]:
    words, width = state["token_embedding.weight"].shape
    across, _, patch, _ = state["visual.conv1.weight"].shape
    patches = state["visual.positional_embedding"].shape[0] - 1
    shared = state["text_projection"].shape[1]

    def tower(prefix: str, channels: int) -> dict[str, Any]:
        return {
            "hidden_size": channels,
            "intermediate_size": state[f"{prefix}transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
            "num_hidden_layers": _blocks(state, re.escape(prefix) + r"transformer\.resblocks\."),
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


def _tokenizer(folder: Path, given: Path | None, text: dict[str, Any]) -> None:
    """CLIP's own, or a copy of the one given."""
    if given is not None:
        files = [given / name for name in _TOKENIZER if (given / name).is_file()]
        if not files:
            raise BadInput(f"no tokenizer in {str(given)!r}")
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return
    if text["vocab_size"] != OWN_WORDS:
        raise BadInput(
            f"it knows {text['vocab_size']} tokens, CLIP's own tokenizer {OWN_WORDS}: name the "
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
