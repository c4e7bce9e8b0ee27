"""Adapters: small changes of a text-to-image model's U-Net, kept apart from it.

A folder holds

    adapter.safetensors   by diffusers' and peft's names: `unet.LAYER.lora_A.weight` (r, in …) and
                          `unet.LAYER.lora_B.weight` (out, r …), of which the layer's weight becomes
                          W + scale · B·A (Hu et al. 2022, "LoRA", section 4.1); `unet.NAME`, in
                          place of the U-Net's weight of that name, or new in it; and what is not
                          the U-Net's, under any other name
    adapter.json          kind, base (`base_of` the model it was trained on), rank, scale, beside;
                          config: entries of the U-Net's config that are other than the base's;
                          steps, guidance_scale, sampler: where usual values are others;
                          licence; and what else the kind needs

The change is added to the weights when it is opened, so that running it costs nothing.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._families import under
from limner.models._text_to_image import Adapter, TextToImage, moved
from limner.models.diffusers import unet_of

__all__ = [
    "CARD",
    "DOWN",
    "UP",
    "WEIGHTS",
    "Begun",
    "adapter_folder",
    "adapters_here",
    "base_of",
    "begun_with",
    "merged",
    "open_adapter",
    "with_adapter",
]

WEIGHTS, CARD = "adapter.safetensors", "adapter.json"
_EMBEDDED = Path(__file__).parents[1] / "embedded" / "adapters"
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def adapters_here() -> list[str]:
    """By name, the adapters that come with limner and are here."""
    return sorted(path.parent.name for path in _EMBEDDED.glob(f"*/{CARD}"))


def adapter_folder(name: str | Path) -> Path:
    """Where an adapter is: limner's own by name, or a folder. Raises BadInput."""
    if str(name) in adapters_here():
        return _EMBEDDED / str(name)
    folder = Path(name).expanduser()
    if os.path.isfile(folder / CARD):
        return folder
    if os.path.isdir(folder):
        _folder.refuse_pickled(folder)
        raise BadInput(f"{str(name)!r} has no {CARD}: give the folder of an adapter, RUN/model")
    own = ", ".join(adapters_here()) or "none is here"
    raise BadInput(f"no adapter {str(name)!r}: give its folder, or one of limner's own ({own})")


def base_of(model: TextToImage) -> str:
    """SHA-256 over the files of a model's U-Net: by this an adapter knows what it was made for."""
    return _folder.fingerprint([*(_weight_files(model) or model.files), *model.changed])


def _weight_files(model: TextToImage) -> list[Path]:
    """The files of its U-Net's weights, not those of an adapter."""
    of_unet = [file for file in model.files if file.parent.name == "unet"]
    return [file for file in of_unet if file.suffix == ".safetensors"]


def open_adapter(name: str | Path, base: TextToImage) -> TextToImage:
    """The model with an adapter's changes in its U-Net, where the base is and in its type.

    name:  one of limner's own (`adapters_here`), or a folder

    Raises BadInput where there is no adapter, it is pickled or damaged, or was made for another.
    """
    folder = adapter_folder(name)
    card, tensors = _read(folder)
    if base.adapter is not None:
        raise BadInput(f"{base.name!r} has an adapter already ({base.adapter.kind}): one at a time")
    if card.get("base") != base_of(base):
        raise BadInput(
            f"the adapter {str(name)!r} was made for another model than {base.name!r}, or for "
            "other weights of it: give the model it was trained on, or train it anew"
        )
    if not _weight_files(base):
        raise BadInput(f"{base.name!r} is one file: an adapter needs the model's folder")
    where = _weight_files(base)[0].parent
    config = _folder.read_json(where / "config.json") | _config(card, folder)
    changes = under(tensors, "unet.")
    state = merged(_folder.weights(where), changes, _number(card, "scale", folder))
    beside = _beside(config, card, base, folder)
    extra = {key: v.float() for key, v in tensors.items() if not key.startswith("unet.")}
    return replace(
        base,
        unet=moved(unet_of(config, state, folder), base.device, base.dtype),
        files=(*base.files, folder / WEIGHTS, folder / CARD),
        beside=beside,
        adapter=Adapter(str(card.get("kind", "")), card, extra),
        steps=int(_number(card, "steps", folder, base.steps)),
        guidance_scale=_number(card, "guidance_scale", folder, base.guidance_scale),
        sampler=str(card.get("sampler", base.sampler)),
    )


class Begun(NamedTuple):
    """An adapter from which a training goes on: its card, and all of its tensors by name."""

    name: str
    card: dict[str, Any]
    tensors: dict[str, Tensor]


def begun_with(name: str | Path, base: TextToImage, kind: str, rank: int) -> Begun:
    """Reads an adapter to go on learning from.

    Raises BadInput where there is none, or it is of another kind or model, or of a higher rank.
    """
    folder = adapter_folder(name)
    card, tensors = _read(folder)
    if card.get("base") != base_of(base):
        raise BadInput(f"the adapter {str(name)!r} was made for another model than {base.name!r}")
    if card.get("kind") != kind:
        raise BadInput(
            f"the adapter {str(name)!r} is for {card.get('kind')}: give one that limner train "
            f"{kind} wrote"
        )
    has = _number(card, "rank", folder, rank)
    if has > rank:
        raise BadInput(
            f"the adapter {str(name)!r} has rank {has:g}, more than {rank}: give --rank {has:g}"
        )
    return Begun(str(name), card, tensors)


def with_adapter(model: TextToImage, kind: str, adapter: str | None = None) -> TextToImage:
    """The model as a task of this kind runs it, under the name by which `open_model` finds it.

    adapter:  its name or folder; "none" for none; not given: limner's own of this kind, where it is
              here and was made for this model

    Raises BadInput for an adapter of another kind.
    """
    if adapter == "none" or (adapter is None and (model.adapter or model.beside)):
        return model
    if adapter is None:
        return _with_own(model, kind) or model
    opened = open_adapter(adapter, model)
    assert opened.adapter is not None
    if opened.adapter.kind != kind:
        raise BadInput(
            f"the adapter {adapter!r} is for {opened.adapter.kind}: give one for {kind} "
            f"(limner train {kind} makes one), or none"
        )
    return replace(opened, name=f"{model.name}+{adapter}")


@lru_cache(maxsize=4)
def _with_own(model: TextToImage, kind: str) -> TextToImage | None:
    """The model with limner's own adapter of a kind, or None."""
    if kind not in adapters_here():
        return None
    card = _folder.read_json(_EMBEDDED / kind / CARD)
    fits = card.get("base") == base_of(model)
    return replace(open_adapter(kind, model), name=f"{model.name}+{kind}") if fits else None


def merged(
    state: dict[str, Tensor], changes: dict[str, Tensor], scale: float = 1.0
) -> dict[str, Tensor]:
    """A U-Net's weights, by diffusers' names, with an adapter's changes, float32 where changed.

    changes: LAYER.lora_A.weight and LAYER.lora_B.weight, or a weight's own name; see above

    Raises BadInput where a layer is missing or of another shape.
    """
    out = dict(state)
    for name, value in changes.items():
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            out[f"{layer}.weight"] = _changed(layer, state, changes, scale)
        elif name.endswith(UP):
            if name.removesuffix(UP) + DOWN not in changes:
                raise BadInput(f"the adapter has {name!r} and no {DOWN[1:]} to it: it is damaged")
        else:
            out[name] = value.float()
    return out


def _changed(
    layer: str, state: dict[str, Tensor], changes: dict[str, Tensor], scale: float
) -> Tensor:
    """W + scale · B·A of one layer: a matrix (out, in), or a convolution (out, in, h, w)."""
    weight, down, up = (
        state.get(f"{layer}.weight"),
        changes[layer + DOWN],
        changes.get(layer + UP),
    )
    if weight is None or up is None:
        missing = "the model has no such layer" if weight is None else f"there is no {UP[1:]}"
        raise BadInput(f"the adapter changes {layer!r}, but {missing}: it is for another model")
    rank = len(down)
    ones = (1,) * (weight.ndim - 2)
    wanted = (rank, *weight.shape[1:]), (weight.shape[0], rank, *ones)
    if (tuple(down.shape), tuple(up.shape)) != wanted:
        raise BadInput(
            f"the adapter's {layer!r} has the shapes {tuple(down.shape)} and {tuple(up.shape)}: "
            f"expected {wanted[0]} and {wanted[1]}; it is for another model"
        )
    product = up.float().flatten(1) @ down.float().flatten(1)
    return weight.float() + scale * product.view_as(weight)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not (folder / WEIGHTS).is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"{str(folder)!r} has no {WEIGHTS}: is the adapter complete?")
    return _folder.read_json(folder / CARD), _folder.tensors([folder / WEIGHTS])


def _number(card: dict[str, Any], key: str, folder: Path, usual: float = 1.0) -> float:
    value = card.get(key, usual)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise BadInput(f"{str(folder / CARD)!r} says {key} = {value!r}: expected a number")


def _config(card: dict[str, Any], folder: Path) -> dict[str, Any]:
    config = card.get("config", {})
    if not isinstance(config, dict):
        raise BadInput(f"{str(folder / CARD)!r} says config = {config!r}: expected {{…}}")
    return config


def _beside(config: dict[str, Any], card: dict[str, Any], base: TextToImage, folder: Path) -> int:
    """Channels that the U-Net sees below the latents', which config and card say alike."""
    taken = config.get("in_channels")
    beside = taken - base.channels if isinstance(taken, int) else None
    if beside is None or beside < 0 or beside != card.get("beside", 0):
        raise BadInput(
            f"{str(folder / CARD)!r} says beside = {card.get('beside', 0)!r}, and in_channels = "
            f"{taken!r} for latents of {base.channels} channels: these do not fit"
        )
    return beside
