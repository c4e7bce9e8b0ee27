"""TAESD (Ollin Boer Bohan 2023, github.com/madebyollin/taesd): an autoencoder of a few plain
convolutions between pictures and another autoencoder's latents, at a fraction of its price.

It opens as diffusers keeps it (a folder whose config.json says AutoencoderTiny) and by its first
names (two files, taesd_encoder.safetensors and taesd_decoder.safetensors). Its latents are those
that the U-Net sees: where a pipeline scales Stable Diffusion's by 0.18215, TAESD's factor is 1.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.models._shelf import find
from limner.models._taesd import Halves, Scale, Tiny
from limner.models._text_to_image import TextToImage

__all__ = ["Quick", "is_here", "taken_out", "with_taesd"]

State = dict[str, Tensor]

_CLASS = "AutoencoderTiny"
_PREVIEW = ":preview"
# What a config may say of the things that `_taesd.py` leaves out.
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("relu",),
    "in_channels": (3,),
    "out_channels": (3,),
    "upsample_fn": ("nearest",),
    "upsampling_scaling_factor": (2,),
}
_PLACE = re.compile(r"(\d{1,3})\.(?:conv\.([024])\.)?(weight|bias)")


@dataclass(frozen=True)
class Quick:
    """A TAESD that is added to a model by its name.

    previews:  for what is shown while it paints alone; what comes out is decoded as ever
    """

    name: str
    previews: bool = False


def taken_out(rest: str) -> tuple[list[Quick], str]:
    """What is added to a model after plusses: each TAESD among it, and what is left.

    A folder, a hub id or a file is one by what it holds; with ":preview" it has to be one.
    """
    found, left = [], []
    for part in rest.split("+") if rest else []:
        name = part.removesuffix(_PREVIEW)
        if name != part or _is_taesd(name):
            found.append(Quick(name, previews=name != part))
        else:
            left.append(part)
    return found, "+".join(left)


def is_here(quick: Quick) -> bool:
    """Whether it is a folder or file of this machine, or on the shelf, not a hub id."""
    return os.path.exists(_place(quick.name))


def _place(name: str) -> Path:
    """Where it is, or would be."""
    path = Path(name).expanduser()
    return path if os.path.exists(path) else find(name) or path


def with_taesd(model: TextToImage, quick: Quick) -> TextToImage:
    """The model with a TAESD in place of its autoencoder, or of the half that a file holds.

    Raises BadInput for one that is broken or of other latents.
    """
    tiny, scale, files = _opened(quick.name)
    _check_fits(tiny, model, quick.name)
    if quick.previews:
        if tiny.decoder is None:
            raise BadInput(f"{quick.name!r} is an encoder alone: previews need the decoder")
        return replace(model, previewer=Halves(tiny, tiny, (scale, scale)))
    old, own = model.vae, (model.scaling_factor, model.shift_factor)
    before = old if isinstance(old, Halves) else Halves(old, old, (own, own))
    first = (before.encoder, before.scales[0]) if tiny.encoder is None else (tiny, scale)
    second = (before.decoder, before.scales[1]) if tiny.decoder is None else (tiny, scale)
    vae = Halves(first[0], second[0], (first[1], second[1]))
    files = (*model.files, *files)
    return replace(model, vae=vae, scaling_factor=1.0, shift_factor=0.0, files=files)


def _check_fits(tiny: Tiny, model: TextToImage, name: str) -> None:
    if tiny.channels != model.channels or tiny.downscales != {model.downscale}:
        sizes = " and ".join(map(str, sorted(tiny.downscales)))
        raise BadInput(
            f"the TAESD {name!r} has latents of {tiny.channels} channels and {sizes} pixels, those "
            f"of {model.name!r} have {model.channels} and {model.downscale}: give the one made for "
            "it (taesd, taesdxl, taesd3, taef1)"
        )


def _is_taesd(name: str) -> bool:
    path = _place(name)
    if os.path.isdir(path):
        config = path / "config.json"
        return os.path.isfile(config) and _folder.read_json(config).get("_class_name") == _CLASS
    if os.path.isfile(path):
        is_file = path.suffix == ".safetensors"
        return is_file and all(_PLACE.fullmatch(each) for each, _ in _folder.described(path))
    return _folder.is_hub_id(name)


def _opened(name: str) -> tuple[Tiny, Scale, tuple[Path, ...]]:
    """The network, the factor and shift of its latents, and its files."""
    path = _place(name)
    if os.path.isfile(path):
        config, state = _of_first_names(_folder.tensors([path]), path)
        return _folder.assembled(Tiny, config, state, path), (1.0, 0.0), (path,)
    folder = _folder.find_folder(name)
    config = _folder.read_json(folder / "config.json")
    said = config.get("_class_name")
    if said != _CLASS:
        raise BadInput(f"{name!r} is {said or 'no autoencoder'}: expected TAESD, an {_CLASS}")
    for key, allowed in _ALLOWED.items():
        if config.get(key, allowed[0]) not in allowed:
            raise BadInput(f"{name!r} says {key} = {config[key]!r}: expected {allowed[0]!r}")
    scale = (_number(config, "scaling_factor", 1.0), _number(config, "shift_factor", 0.0))
    tiny = _folder.assembled(Tiny, config, _folder.weights(folder), folder)
    return tiny, scale, (folder / "config.json", *_folder.weight_files(folder))


def _number(config: dict[str, Any], key: str, usual: float) -> float:
    value = config.get(key, usual)
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    if not usable or (key == "scaling_factor" and value == 0):
        raise BadInput(f"the TAESD's config says {key} = {value!r}: expected a number")
    return float(value)


def _of_first_names(state: State, path: Path) -> tuple[dict[str, Any], State]:
    """The config and weights of the half that a file holds: its layers are numbered, and the first
    of a decoder, which bends its latents, has no weights.
    """
    places = {name: _PLACE.fullmatch(name) for name in state}
    plain = sorted({int(at[1]) for at in places.values() if at and at[2] is None})
    inner = {int(at[1]) for at in places.values() if at and at[2] is not None}
    if (
        len(plain) < 2
        or not all(places.values())
        or not all(f"{k}.weight" in state and state[f"{k}.weight"].ndim == 4 for k in plain)
    ):
        raise BadInput(f"{str(path)!r} is no TAESD: expected its layers by their numbers")
    half, other = ("encoder", "decoder") if plain[0] == 0 else ("decoder", "encoder")
    ends = (state[f"{plain[-1]}.weight"].shape[0], state[f"{plain[0]}.weight"].shape[1])
    config = {
        f"{half}_block_out_channels": [state[f"{k}.weight"].shape[0] for k in plain[:-1]],
        f"num_{half}_blocks": [sum(a < k < b for k in inner) for a, b in pairwise(plain)],
        f"{other}_block_out_channels": [],
        f"num_{other}_blocks": [],
        "latent_channels": ends[0] if half == "encoder" else ends[1],
    }
    ahead = 0 if half == "encoder" else 1
    out = {}
    for name, value in state.items():
        number, _, rest = name.partition(".")
        out[f"{half}.layers.{int(number) - ahead}.{rest}"] = value
    return config, out
