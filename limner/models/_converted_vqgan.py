"""VQGAN by taming-transformers' names (Esser et al. 2021) → diffusers' VQModel in a folder.

One with Gumbel quantisation becomes the class GumbelVQ: the same, and `quantize.proj`, which says a
logit for each code. A VQModel takes the nearest row of the table that it decodes, too; folded into
`quant_conv`, the projection would give it logits, which are no place near any code.

Its .yaml is read as data, without anchors and tags; the class that it names is looked up in a list
and never imported. The losses' networks (`loss.*`) are left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _autoencoder, _folder

__all__ = ["read_yaml", "write"]

_TARGETS = {f"taming.models.vqgan.{name}": name for name in ("VQModel", "GumbelVQ")}
_PROJ = "quantize.proj."
_KEPT = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.")
_LARGEST, _DEEPEST = 32_768, 20  # characters and levels of a .yaml; taming's have 2,000 and 5
_RULES = (
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.(down|up)\.(\d+)\.block\.", r".\1_blocks.\2.resnets."),
    (r"\.(down|up)\.(\d+)\.attn\.", r".\1_blocks.\2.attentions."),
    (r"\.(down|up)\.(\d+)\.(down|up)sample\.", r".\1_blocks.\2.\3samplers.0."),
    (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^quantize\.embed\.", "quantize.embedding."),
)


def write(state: dict[str, Tensor], folder: Path, config: Path) -> None:
    """The folder, float32. Raises BadInput where weights and config do not belong together."""
    from safetensors.torch import save_file

    said = _config(read_yaml(config))
    levels = len(said["block_out_channels"])
    named = {
        _name(name, levels): tensor.float()
        for name, tensor in state.items()
        if name.startswith(_KEPT)
    }
    named = _autoencoder.renamed(named)  # attention's matrices were 1×1 convolutions
    _checked(said, named, config)
    folder.mkdir()
    rows = {name: tensor.clone() for name, tensor in named.items()}
    save_file(rows, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(said, indent=1))


def _checked(said: dict[str, Any], named: dict[str, Tensor], config: Path) -> None:
    """Says what does not fit."""
    plain = {name: tensor for name, tensor in named.items() if not name.startswith(_PROJ)}
    _folder.assembled(_library, {**said, "_class_name": "VQModel"}, plain, config)
    if said["_class_name"] == "VQModel":
        wanted = {}
    else:
        codes, width = said["num_vq_embeddings"], said["vq_embed_dim"]
        wanted = {f"{_PROJ}weight": (codes, width, 1, 1), f"{_PROJ}bias": (codes,)}
    given = {n: tuple(tensor.shape) for n, tensor in named.items() if n.startswith(_PROJ)}
    if given != wanted:
        raise BadInput(f"its {_PROJ}* are {given}: its config expects {wanted}")


def _library(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.autoencoders.vq_model import VQModel

    model = VQModel.from_config(config)
    assert isinstance(model, nn.Module)
    return model


def _name(name: str, levels: int) -> str:
    """diffusers' name. On the way up it counts from the coarsest side, taming from the finest."""
    for old, new in _RULES:
        name = re.sub(old, new, name)
    return re.sub(
        r"\.up_blocks\.(\d+)\.", lambda at: f".up_blocks.{levels - 1 - int(at[1])}.", name
    )


def _config(said: dict[str, Any]) -> dict[str, Any]:
    """VQModel's config of a taming one."""
    model = said.get("model", said)
    target = model.get("target") if isinstance(model, dict) else None
    if not isinstance(target, str) or target not in _TARGETS:
        names = " or ".join(_TARGETS)
        raise BadInput(f"its .yaml asks for {str(target)[:80]!r}: expected {names}")
    values = model.get("params")
    parts = values.get("ddconfig") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(parts, dict):
        raise BadInput("its .yaml has no params with a ddconfig")
    numbers = {key: _whole(parts, key) for key in ("ch", "num_res_blocks", "resolution")}
    mult = parts.get("ch_mult")
    looks = parts.get("attn_resolutions")
    if not _wholes(mult, 1) or not _wholes(looks, 0) or parts.get("double_z"):
        raise BadInput("its .yaml has no list ch_mult or attn_resolutions, or is of another family")
    assert isinstance(mult, list) and isinstance(looks, list)
    sides = [numbers["resolution"] >> i for i in range(len(mult))]
    downs = ["AttnDownEncoderBlock2D" if s in looks else "DownEncoderBlock2D" for s in sides]
    ups = ["AttnUpDecoderBlock2D" if s in looks else "UpDecoderBlock2D" for s in reversed(sides)]
    return {
        "_class_name": _TARGETS[target],
        "in_channels": _whole(parts, "in_channels"),
        "out_channels": _whole(parts, "out_ch"),
        "down_block_types": downs,
        "up_block_types": ups,
        "block_out_channels": [numbers["ch"] * each for each in mult],
        "layers_per_block": numbers["num_res_blocks"],
        "latent_channels": _whole(parts, "z_channels"),
        "sample_size": numbers["resolution"],
        "num_vq_embeddings": _whole(values, "n_embed"),
        "vq_embed_dim": _whole(values, "embed_dim"),
        "norm_num_groups": 32,
    }


def _whole(values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    if type(value) is not int or not 1 <= value <= 65536:
        raise BadInput(f"its .yaml says {key} = {str(value)[:40]!r}: expected a whole number")
    return value


def _wholes(values: Any, least: int) -> bool:
    if not isinstance(values, list) or not least <= len(values) <= 10:
        return False
    return all(type(each) is int and 1 <= each <= 65536 for each in values)


def read_yaml(path: Path) -> dict[str, Any]:
    """A small .yaml as data. Raises BadInput for anchors and tags: they make bombs and objects."""
    import yaml

    try:
        text = path.read_bytes()[: _LARGEST + 1].decode("utf-8") if path.is_file() else ""
        if not text or len(text) > _LARGEST:
            raise BadInput(f"{str(path)!r} is no .yaml of a model: missing, empty or too long")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if getattr(event, "anchor", None) or getattr(event, "tag", None) or depth > _DEEPEST:
                raise BadInput(
                    f"{str(path)!r} has anchors, tags or depths that no model's .yaml has"
                )
        said = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OSError, RecursionError):
        raise BadInput(f"{str(path)!r} is not YAML: give the model's own config") from None
    if not isinstance(said, dict):
        raise BadInput(f"{str(path)!r} holds no YAML mapping: give the model's own config")
    return said
