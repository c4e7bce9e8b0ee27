"""open_clip's folders: open_clip_config.json beside open_clip_model.safetensors.

Towers of its own, ViTs and CLIP's ResNets, are read into limner's. A config that says anything
which would compute something else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _folder
from limner.models._open_clip_names import renamed
from limner.models._sight import Sight, of_open_clip
from limner.models._tokenizer import Tokenizer, clip_tokenizer, open_tokenizer
from limner.models._towers import Pictures, Texts, Towers, placed
from limner.nets.resnet_tower import HEAD_WIDTH, ResNetTower

__all__ = ["CONFIG", "OWN_WORDS", "WEIGHTS", "open_parts"]

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
OWN_WORDS = 49408  # of the vocabulary that comes with limner
_FILLING = "!"  # the word of id 0, which open_clip fills a text up with

# What open_clip takes where a config says nothing (CLIPVisionCfg and CLIPTextCfg).
_VISION: dict[str, Any] = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0}
_VISION |= {"patch_size": 16, "image_size": 224, "act_kwargs": None, "norm_kwargs": None}
_TEXT: dict[str, Any] = {"context_length": 77, "vocab_size": OWN_WORDS, "width": 512, "heads": 8}
_TEXT |= {"layers": 12, "mlp_ratio": 4.0, "act_kwargs": None, "norm_kwargs": None}
_MODEL = (
    "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_bias",
    "init_logit_scale", "nonscalar_logit_scale", "output_dict", "cast_dtype",
)  # fmt: skip
# These matter to training alone, or only beside something that is refused.
_IDLE = (
    "patch_dropout", "attn_pooler_queries", "attn_pooler_heads", "pos_embed_type", "pad_id",
    "final_ln_after_pool", "output_tokens", "eos_id",
)  # fmt: skip
_IDLE_BEGIN = ("timm_", "hf_")
_REASONS = {
    "timm_model_name": "its picture tower is timm's {!r}, which limner does not have: give a CLIP "
    "with a ViT or ResNet of open_clip's own, or for a SigLIP its folder for transformers",
    "hf_model_name": "its text tower is Hugging Face's {!r}: give a CLIP with open_clip's own",
    "hf_tokenizer_name": "its words are those of {!r}: give a CLIP of CLIP's own words",
    "multimodal_cfg": "it is a CoCa, which writes captions: give a CLIP",
}


def open_parts(folder: Path) -> tuple[Towers, Tokenizer, Sight, list[Path]]:
    """The towers, their words, how pictures are shown to them, and the files that say so.

    Raises BadInput for what is missing, broken, or not computed here.
    """
    file, weights = folder / CONFIG, folder / WEIGHTS
    said = _folder.read_json(file)
    model, seen = said.get("model_cfg"), said.get("preprocess_cfg") or {}
    if not isinstance(model, dict) or not isinstance(seen, dict):
        raise BadInput(f"{str(file)!r} has no model_cfg: is it of open_clip's layout?")
    vision, text = _configs(model, file)
    if not weights.is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"{str(file)!r} describes a CLIP, but {WEIGHTS} is missing beside it")
    state = _folder.tensors([weights])
    towers = _towers(model, vision, text, state, folder)
    sight = of_open_clip(seen, towers.side, file)
    return towers, _words(folder, text), sight, [weights, file]


def _configs(model: dict[str, Any], file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """vision_cfg and text_cfg with what they leave out, once nothing in them is unknown."""
    _check(model, _MODEL, "", file)
    vision, text = model.get("vision_cfg"), model.get("text_cfg")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise BadInput(f"{str(file)!r} has no vision_cfg or text_cfg: is it of open_clip's layout?")
    _check(vision, _VISION, "tok", file)
    _check(text, _TEXT, "argmax", file)
    vision, text = _VISION | vision, _TEXT | text
    for part in (vision, text, {"embed_dim": model.get("embed_dim")}):
        _folder.check_numbers(part, file)
    return vision, text


def _check(part: dict[str, Any], known: Iterable[str], pool: str, file: Path) -> None:
    """Refuses what would compute something else; `pool` is the one way of pooling."""
    only = {"pool_type": pool, "proj_type": "linear", "tokenizer_mode": "clip"}
    for key, value in part.items():
        idle = key in _IDLE or (key.startswith(_IDLE_BEGIN) and key not in _REASONS)
        if idle or key in known or value in (None, False, {}) or value == only.get(key):
            continue
        why = _REASONS.get(key, f"{key} = {{!r:.80}} is nothing that limner computes")
        raise BadInput(f"{str(file)!r}: {why.format(value)}")


def _words(folder: Path, text: dict[str, Any]) -> Tokenizer:
    """CLIP's own, or that of the folder where the tower knows others."""
    if text["vocab_size"] == OWN_WORDS:
        return clip_tokenizer(text["context_length"], pad=_FILLING)
    return open_tokenizer(folder, text["context_length"])


def _towers(
    model: dict[str, Any],
    vision: dict[str, Any],
    text: dict[str, Any],
    state: dict[str, Tensor],
    folder: Path,
) -> Towers:
    quick, shared = bool(model.get("quick_gelu")), model["embed_dim"]
    resnet, biased = isinstance(vision["layers"], list), "logit_bias" in state

    def make(_: dict[str, Any]) -> Towers:
        side, pictures = (_resnet if resnet else _vit)(vision, shared, quick)
        texts = Texts(_text(text, quick), shared)
        return Towers(pictures, texts, side, texts.tower.length, biased)

    return _folder.assembled(make, {}, _placed(state, resnet), folder)


def _vit(said: dict[str, Any], shared: int, quick: bool) -> tuple[int, nn.Module]:
    """The side of the pictures that it sees, and the tower."""
    side = _side(said["image_size"])
    config = _blocks(said, said["width"] // said["head_width"], quick)
    config |= {"image_size": side, "patch_size": said["patch_size"]}
    return side, Pictures(config, shared)


def _resnet(said: dict[str, Any], shared: int, quick: bool) -> tuple[int, nn.Module]:
    side = _side(said["image_size"])
    if said["head_width"] != HEAD_WIDTH:
        raise BadInput(f"head_width is {said['head_width']}: a ResNet of CLIP has {HEAD_WIDTH}")
    return side, ResNetTower(shared, said["width"], said["layers"], side)


def _text(said: dict[str, Any], quick: bool) -> dict[str, Any]:
    words, length = said["vocab_size"], said["context_length"]
    config = _blocks(said, said["heads"], quick)
    # Each text's end is its highest id, which a config of transformers says with a 2.
    return config | {"vocab_size": words, "max_position_embeddings": length, "eos_token_id": 2}


def _blocks(said: dict[str, Any], heads: int, quick: bool) -> dict[str, Any]:
    """What the two transformers' configs have in common, by transformers' names."""
    act, norm = said["act_kwargs"] or {}, said["norm_kwargs"] or {}
    if act not in ({}, {"approximate": "none"}, {"approximate": "tanh"}) or (act and quick):
        raise BadInput(f"act_kwargs = {act!r:.80} is nothing that limner computes")
    if set(norm) - {"eps"}:
        raise BadInput(f"norm_kwargs = {norm!r:.80} is nothing that limner computes")
    gelu = "gelu_new" if act.get("approximate") == "tanh" else "gelu"
    return {
        "hidden_size": said["width"],
        "intermediate_size": int(said["width"] * said["mlp_ratio"]),
        "num_hidden_layers": said["layers"],
        "num_attention_heads": heads,
        "hidden_act": "quick_gelu" if quick else gelu,
        "layer_norm_eps": norm.get("eps", 1e-5),
    }


def _side(said: Any) -> int:
    both = said if isinstance(said, list) else [said, said]
    if len(both) != 2 or both[0] != both[1] or not isinstance(both[0], int):
        raise BadInput(f"image_size is {said!r:.80}: expected a square")
    return both[0]


def _placed(state: dict[str, Tensor], resnet: bool) -> dict[str, Tensor]:
    """open_clip's names → those of `Towers`."""
    out: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if resnet and name.startswith("visual."):
            out["pictures." + name.removeprefix("visual.")] = tensor
        elif name in ("logit_scale", "logit_bias"):
            out[name] = tensor.reshape(())
        else:  # of a model with `custom_text` the words' tower has a name of its own
            rest[name.removeprefix("text.")] = tensor
    return out | {placed(name): tensor for name, tensor in renamed(rest).items()}
