"""The networks of a GAN in a folder: config.json, which says their shapes, and a safetensors file
for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from limner.errors import BadInput
from limner.models import _folder

__all__ = ["CONFIG", "DISCRIMINATOR", "GENERATOR", "kind_of", "network", "shape", "write"]

Network = TypeVar("Network", bound=nn.Module)
Sizes = TypeVar("Sizes")

CONFIG, GENERATOR, DISCRIMINATOR = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
)


def write(folder: Path, config: dict[str, Any], networks: Mapping[str, nn.Module | None]) -> None:
    """Save networks, by their files' names, float32; None is left out. The folder is new."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    told = dict(config)
    for file, made in networks.items():
        if made is not None:
            state = {name: weight.contiguous() for name, weight in made.state_dict().items()}
            save_file(state, folder / file, metadata={"format": "pt"})
            shape: Any = made.shape
            told[Path(file).stem] = asdict(shape)
    (folder / CONFIG).write_text(json.dumps(told, indent=1))


def kind_of(folder: Path, kind: str) -> dict[str, Any]:
    """The folder's config, if it is of this kind. Raises BadInput where it is not."""
    if not (folder / CONFIG).is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / CONFIG)
    if config.get("model_type") != kind:
        raise BadInput(f"{str(folder)!r} is a {config.get('model_type')!r}: expected {kind}")
    return config


def network(
    folder: Path, config: dict[str, Any], file: str, made: Callable[[dict[str, Any]], Network]
) -> Network:
    """One of the networks in float32, frozen; `made` builds it of what the folder's config says.

    Raises BadInput for what is missing, pickled or broken.
    """
    said = _said(config, Path(file).stem, folder)
    if not (folder / file).is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"no {file} in {str(folder)!r}: train or convert it again")
    return _folder.assembled(made, said, _folder.tensors([folder / file]), folder)


def shape(folder: Path, made: Callable[[dict[str, Any]], Sizes]) -> Sizes:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    said = _said(_folder.read_json(folder / CONFIG), Path(GENERATOR).stem, folder)
    try:
        return made(said)
    except (KeyError, TypeError):
        raise BadInput(f"the config in {str(folder)!r} is not usable: convert it again") from None


def _said(config: dict[str, Any], part: str, folder: Path) -> dict[str, Any]:
    said = config.get(part)
    if not isinstance(said, dict):
        raise BadInput(f"the config in {str(folder)!r} says nothing of the {part}")
    return said
