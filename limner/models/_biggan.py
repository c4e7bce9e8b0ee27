"""BigGAN in a folder: config.json and a safetensors file for each network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from limner.errors import BadInput
from limner.models import _folder
from limner.nets.biggan import Discriminator, Generator, Shape

__all__ = ["CONFIG", "DISCRIMINATOR", "GENERATOR", "Read", "read", "write"]

CONFIG, GENERATOR, DISCRIMINATOR = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
)
_KIND = "biggan"


class Read(NamedTuple):
    """The names of the classes in the order of their numbers, and the networks."""

    classes: list[str]
    generator: Generator
    discriminator: Discriminator | None


def write(
    folder: Path, classes: list[str], generator: Generator, discriminator: Discriminator
) -> None:
    """Save both, float32."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    for file, network in ((GENERATOR, generator), (DISCRIMINATOR, discriminator)):
        state = {name: weight.contiguous() for name, weight in network.state_dict().items()}
        save_file(state, folder / file, metadata={"format": "pt"})
    config = {
        "model_type": _KIND,
        "classes": classes,
        "generator": asdict(generator.shape),
        "discriminator": asdict(discriminator.shape),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def read(folder: Path) -> Read:
    """The networks in float32, frozen; a folder may have no discriminator.

    Raises BadInput for what is missing, pickled, broken or of another kind.
    """
    if not (folder / CONFIG).is_file():
        _folder.refuse_pickled(folder)
    config = _folder.read_json(folder / CONFIG)
    if config.get("model_type") != _KIND:
        raise BadInput(f"{str(folder)!r} is a {config.get('model_type')!r}: expected {_KIND}")
    painter = _folder.assembled(
        lambda said: Generator(_shape(said)),
        _said(config, "generator", folder),
        _folder.tensors([_there(folder / GENERATOR)]),
        folder,
    )
    names = _classes(config, painter.shape.classes, folder)
    if not (folder / DISCRIMINATOR).is_file():
        return Read(names, painter, None)
    judge = _folder.assembled(
        lambda said: Discriminator(_shape(said)),
        _said(config, "discriminator", folder),
        _folder.tensors([folder / DISCRIMINATOR]),
        folder,
    )
    return Read(names, painter, judge)


def _said(config: dict[str, Any], part: str, folder: Path) -> dict[str, Any]:
    said = config.get(part)
    if not isinstance(said, dict):
        raise BadInput(f"the config in {str(folder)!r} says nothing of the {part}")
    return said


def _shape(said: dict[str, Any]) -> Shape:
    return Shape(**{**said, "channels": tuple(said["channels"])})


def _classes(config: dict[str, Any], count: int, folder: Path) -> list[str]:
    names = config.get("classes")
    if not isinstance(names, list) or len(names) != count:
        raise BadInput(f"the config in {str(folder)!r} has no list of the {count} classes' names")
    return [str(name) for name in names]


def _there(file: Path) -> Path:
    if not file.is_file():
        _folder.refuse_pickled(file.parent)
        raise BadInput(f"no {file.name} in {str(file.parent)!r}: give RUN/model of a training")
    return file
