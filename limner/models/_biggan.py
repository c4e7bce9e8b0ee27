"""BigGAN in a folder: config.json and a safetensors file for each network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.nets.biggan import Discriminator, Generator, Shape

__all__ = [
    "CONFIG",
    "DISCRIMINATOR",
    "GENERATOR",
    "STATISTICS",
    "Read",
    "read",
    "shape",
    "statistics",
    "write",
]

CONFIG, GENERATOR, DISCRIMINATOR, STATISTICS = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
    "statistics.safetensors",
)
_KIND = "biggan"


class Read(NamedTuple):
    """The names of the classes in the order of their numbers, and the networks."""

    classes: list[str]
    generator: Generator
    discriminator: Discriminator | None


def write(
    folder: Path,
    classes: list[str],
    generator: Generator,
    discriminator: Discriminator | None,
    tables: dict[str, Tensor] | None = None,
) -> None:
    """Save both, float32; a discriminator need not be there.

    tables:  the norms' statistics (n, c) for truncations 0, 1/(n−1) … 1, by the generator's names
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    networks: dict[str, Generator | Discriminator] = {GENERATOR: generator}
    if discriminator is not None:
        networks[DISCRIMINATOR] = discriminator
    config: dict[str, Any] = {"model_type": _KIND, "classes": classes}
    for file, network in networks.items():
        state = {name: weight.contiguous() for name, weight in network.state_dict().items()}
        save_file(state, folder / file, metadata={"format": "pt"})
        config[Path(file).stem] = asdict(network.shape)
    if tables:
        rows = {name: table.contiguous() for name, table in tables.items()}
        save_file(rows, folder / STATISTICS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def statistics(folder: Path, generator: Generator, truncation: float) -> dict[str, Tensor]:
    """The norms' means and variances for a truncation in 0 to 1, between tables' rows linearly;
    empty for a folder that has none but the generator's own."""
    if not (folder / STATISTICS).is_file():
        return {}
    tables, own = _folder.tensors([folder / STATISTICS]), generator.state_dict()
    wanted = {n for n in own if n.endswith(("running_mean", "running_var"))}
    if set(tables) != wanted or any(t.shape[1:] != own[n].shape for n, t in tables.items()):
        raise BadInput(f"the {STATISTICS} in {str(folder)!r} is not its generator's: convert again")
    found = {}
    for name, table in tables.items():
        place = truncation * (len(table) - 1)
        low = min(round(place) if abs(place - round(place)) < 1e-6 else int(place), len(table) - 1)
        high, part = min(low + 1, len(table) - 1), max(place - low, 0.0)
        found[name] = torch.lerp(table[low].float(), table[high].float(), part)
    return found


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


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    said = _said(_folder.read_json(folder / CONFIG), "generator", folder)
    try:
        return _shape(said)
    except (KeyError, TypeError):
        raise BadInput(f"the config in {str(folder)!r} is not usable: convert it again") from None


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
