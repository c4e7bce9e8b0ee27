"""LoRA files of others (Hu et al. 2022): `.safetensors` by the names of diffusers, peft and kohya.

A layer's weight W becomes W + weight · alpha / rank · up·down, in the U-Net and the text encoders,
before the networks are put together: running it costs nothing. By name a layer is

    unet.LAYER.lora_A.weight, .lora_B.weight             peft; text_encoder.LAYER, text_encoder_2.…
    unet.LAYER.lora.down.weight, .lora.up.weight         diffusers before it; …_linear_layer.down,
                                                         and in attentions processor.to_q_lora.down
    lora_unet_LAYER_.lora_down.weight, .lora_up.weight   kohya: dots are underscores; lora_te_LAYER,
                                                         XL's lora_te1_LAYER and lora_te2_LAYER

with `.alpha` beside it where alpha is not the rank. In XL's, kohya's scripts have the first names
of the U-Net's layers (`_original.py`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._original import layer_of_original
from limner.models.diffusers import Parts

__all__ = ["is_lora", "with_lora"]

_ENDS = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".alpha": "alpha",
}
_STARTS = {
    "unet.": "unet",
    "lora_unet_": "unet",
    "text_encoder.": "text",
    "lora_te_": "text",
    "lora_te1_": "text",
    "text_encoder_2.": "text2",
    "lora_te2_": "text2",
}
_KEYS = {"unet": "unet", "text": "text_encoder", "text2": "text_encoder_2"}  # in a file's header
_PROCESSOR = re.compile(r"(.*)(?:\.processor|self_attn)\.to_(q|k|v|out)")


class Place(NamedTuple):
    network: str  # unet, text or text2
    layer: str  # its weight's name, without ".weight"


def is_lora(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names is a LoRA, or something like one."""
    return any("lora_" in name or "_lora." in name or ".lora." in name for name in names)


def with_lora(parts: Parts, file: str | Path, weight: float = 1.0) -> Parts:
    """The parts with a LoRA's changes, so many times. Raises BadInput where it does not fit."""
    path = Path(file).expanduser()
    tensors = _folder.tensors([path])
    usual = _usual_alphas(path)
    second = parts.second
    networks = {"unet": dict(parts.unet), "text": dict(parts.text)}
    networks["text2"] = dict(second.weights) if second else {}
    layers = {name: _layers(state) for name, state in networks.items()}
    deep = parts.unet_config.get("layers_per_block", 2)
    found: dict[Place, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, part = _place(name, layers, deep, path)
        found.setdefault(place, {})[part] = tensor
    for place, said in found.items():
        state, name = networks[place.network], f"{place.layer}.weight"
        change = _change(said, state[name], usual.get(place.network), f"{place.layer!r}", path)
        state[name] = state[name].float() + weight * change
    return replace(
        parts,
        unet=networks["unet"],
        text=networks["text"],
        second=second and replace(second, weights=networks["text2"]),
        files=(*parts.files, path),
        changed=(*parts.changed, path),
    )


def _layers(state: dict[str, Tensor]) -> dict[str, str]:
    """A network's layers by their names and by kohya's, whose dots are underscores."""
    layers = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    return {each: layer for layer in layers for each in (layer, layer.replace(".", "_"))}


def _place(
    name: str, layers: dict[str, dict[str, str]], deep: Any, path: Path
) -> tuple[Place, str]:
    """Which layer a tensor changes, and which part of the change it is. deep: the U-Net's
    layers_per_block."""
    start = next((start for start in _STARTS if name.startswith(start)), None)
    end = next((end for end in _ENDS if name.endswith(end)), None)
    if start is None or end is None:
        raise BadInput(
            f"{str(path)!r} holds {name[:120]!r}: expected a LoRA of a U-Net and text encoders, as "
            "diffusers, peft or kohya's scripts write it (no LoHa, LoKr, DoRA)"
        )
    network = _STARTS[start]
    said = name[len(start) : -len(end)]
    said = said.removeprefix("text_model.").removeprefix("text_model_")
    processor = _PROCESSOR.fullmatch(said)
    if processor and network == "unet":
        said = f"{processor[1]}.to_{processor[2]}" + (".0" if processor[2] == "out" else "")
    elif processor:
        said = f"{processor[1]}self_attn.{processor[2]}_proj"
    if network == "unet" and said not in layers[network] and isinstance(deep, int):
        said = layer_of_original(said, deep)
    if said not in layers[network]:
        raise BadInput(
            f"{str(path)!r} changes {name[:120]!r}, and the model has no such layer: it is for "
            "another model"
        )
    return Place(network, layers[network][said]), _ENDS[end]


def _change(
    said: dict[str, Tensor], weight: Tensor, usual: float | None, layer: str, path: Path
) -> Tensor:
    """alpha / rank · up·down, in the shape of the layer's weight (out, in …)."""
    down, up = said.get("down"), said.get("up")
    if down is None or up is None or not down.ndim >= 2 <= up.ndim:
        raise BadInput(f"{str(path)!r} has but a half for {layer}: it is damaged")
    rank = len(down)
    fits = up.flatten(1).shape == (weight.shape[0], rank) and rank > 0
    if not fits or down.flatten(1).shape != (rank, math.prod(weight.shape[1:])):
        raise BadInput(
            f"{str(path)!r} has {tuple(down.shape)} and {tuple(up.shape)} for {layer}, which is "
            f"{tuple(weight.shape)}: it is for another model"
        )
    alpha = said.get("alpha")
    if alpha is not None and alpha.numel() != 1:
        raise BadInput(f"{str(path)!r} has an alpha of shape {tuple(alpha.shape)} for {layer}")
    scale = float(alpha) if alpha is not None else rank if usual is None else usual
    if not math.isfinite(scale):
        raise BadInput(f"{str(path)!r} has an alpha of {scale} for {layer}: it is damaged")
    return (scale / rank) * (up.float().flatten(1) @ down.float().flatten(1)).view_as(weight)


def _usual_alphas(path: Path) -> dict[str, float]:
    """What diffusers keeps of peft's config in the file's header: alpha by network."""
    said = _folder.header(path).get("lora_adapter_metadata", "{}")
    try:
        config = json.loads(said)
        usual = {}
        for network, key in _KEYS.items():
            if f"{key}.lora_alpha" in config:
                usual[network] = float(config[f"{key}.lora_alpha"])
            for odd in ("alpha_pattern", "use_rslora", "use_dora"):
                if config.get(f"{key}.{odd}"):
                    raise BadInput(f"{str(path)!r} says {key}.{odd}, which limner does not know")
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadInput(f"{str(path)!r} has a header that cannot be read: fetch it again") from None
    return usual
