"""What a checkpoint is, before it is opened: read from headers and descriptions, no tensor of it.

A pickled file is described by the child that `convert` reads it with; nothing of it runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.models import _folder
from limner.models._families import family_among, without_wrapper
from limner.models._quarantined import contents

__all__ = ["Inspected", "inspect"]

_LARGEST_CONFIG = 4_000_000  # bytes
_MOST_FILES = 200
_CAN = {
    "stable diffusion": "generate, restyle, inpaint (of 9 channels), guide, explain",
    "stable diffusion xl": "generate, restyle, inpaint (of 9 channels), guide, explain",
    "stable diffusion 3": "generate, restyle, inpaint, guide, explain",
    "flux": "generate, restyle, inpaint, guide, explain",
    "clip": "judge, describe, classify, rank, search",
    "custom clip": "judge, describe, classify, rank, search",
    "siglip": "judge, describe, classify, rank, search",
    "vqgan": "guide (its codes), edit, invert",
    "gumbel vqgan": "guide (its codes), edit, invert",
    "stylegan2": "sample, edit, mix, invert, map, adapt",
    "stylegan3": "sample, edit, mix, invert, map",
    "nvidia stylegan2": "sample, edit, mix, invert, map, adapt",
    "nvidia stylegan3": "sample, edit, mix, invert, map",
    "biggan": "sample, guide",
    "lora": "generate, named after a model with a plus",
    "controlnet": "generate, restyle, inpaint: --control FOLDER=PICTURE",
    "taesd": "decodes, or shows previews, named after a model with a plus",
}
_MODEL_TYPES = {
    "clip": "clip",
    "stylegan2": "stylegan2",
    "stylegan3": "stylegan3",
    "biggan": "biggan",
    "siglip": "siglip",
}
_CLASSES = {
    "ControlNetModel": "controlnet",
    "AutoencoderTiny": "taesd",
    "VQModel": "vqgan",
    "GumbelVQ": "gumbel vqgan",
    "StableDiffusionPipeline": "stable diffusion",
    "StableDiffusionInpaintPipeline": "stable diffusion",
    "StableDiffusion3Pipeline": "stable diffusion 3",
    "FluxPipeline": "flux",
    "StableDiffusionXLPipeline": "stable diffusion xl",
}


@dataclass(frozen=True)
class Inspected:
    """What `inspect` tells."""

    family: str
    opens: bool  # as it is; else `limner convert` may write what does
    tensors: int
    parameters: int
    precisions: tuple[str, ...]  # by safetensors' names, the one of most numbers first
    memory: int  # bytes of its weights in float32, as limner runs them on a CPU
    licence: str
    can: str  # what it can be asked


def inspect(name: str | Path) -> Inspected:
    """Tells of a file or folder. Raises BadInput where it is broken or unsafe."""
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _of_folder(path)
    except (OSError, ValueError):
        raise BadInput(f"{str(name)[:200]!r} is no file's name") from None
    if path.suffix == ".safetensors" and path.is_file():
        tensors = dict(_folder.described(path))
        return _told(family_among(without_wrapper(tensors)), tensors, "see its own page", True)
    tensors = contents(path).tensors
    return _told(family_among(without_wrapper(tensors)), tensors, "see its own page", False)


def _of_folder(folder: Path) -> Inspected:
    said: dict[str, Any] = {}
    for file in ("config.json", "model_index.json"):
        said |= _config(folder / file)
    if said.get("auto_map") or said.get("trust_remote_code"):
        raise BadInput(
            f"the config in {str(folder)!r} asks for code from elsewhere: limner runs its own only"
        )
    files = sorted(folder.glob("*.safetensors"))
    files += sorted(folder.glob("*/*.safetensors"))
    if not files:
        _folder.refuse_pickled(folder)
        raise BadInput(f"no safetensors in {str(folder)!r}: give a model's folder")
    if len(files) > _MOST_FILES:
        raise BadInput(f"{str(folder)!r} holds {len(files)} files of weights: give one model's")
    for index in folder.glob("**/*.safetensors.index*.json"):
        _shards(index)
    tensors = {f"{file.parent.name}/{n}": t for file in files for n, t in _folder.described(file)}
    family = _CLASSES.get(str(said.get("_class_name"))) or _MODEL_TYPES.get(
        str(said.get("model_type"))
    )
    family = family or family_among(name.split("/", 1)[1] for name in tensors)
    card = _config(folder / "limner.json")
    return _told(family, tensors, str(card.get("licence", "see its own page")), True)


def _shards(index: Path) -> None:
    """Whether an index names files beside it, and no others."""
    names = _config(index).get("weight_map", {})
    for name in {str(each) for each in names.values()} if isinstance(names, dict) else {""}:
        beside = Path(name).name == name and name.endswith(".safetensors")
        if not beside or not (index.parent / name).is_file():
            raise BadInput(f"{str(index)!r} names {name[:80]!r}: expected safetensors beside it")


def _config(path: Path) -> dict[str, Any]:
    """A small JSON file, or nothing where there is none."""
    if path.is_file() and path.stat().st_size > _LARGEST_CONFIG:
        raise BadInput(f"{str(path)!r} is too large to be a model's config")
    said = _folder.read_json(path, missing={})
    assert isinstance(said, dict)
    return said


def _told(
    family: str, tensors: dict[str, tuple[str, tuple[int, ...]]], licence: str, opens: bool
) -> Inspected:
    counts: dict[str, int] = {}
    for kind, shape in tensors.values():
        counts[kind] = counts.get(kind, 0) + math.prod(shape)
    total = sum(counts.values())
    can = _CAN.get(family, "nothing yet: limner has no wrapper for it")
    if not opens and family in _CAN:
        can = f"limner convert FILE -o FOLDER; then: {can}"
    order = tuple(sorted(counts, key=lambda kind: -counts[kind]))
    known = opens and family in _CAN
    return Inspected(family, known, len(tensors), total, order, 4 * total, licence, can)
