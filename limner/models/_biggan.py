"""BigGAN in a folder: config.json and a safetensors file for each network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder, _gan
from limner.models._gan import CONFIG, DISCRIMINATOR, GENERATOR
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

STATISTICS = "statistics.safetensors"
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

    networks = {GENERATOR: generator, DISCRIMINATOR: discriminator}
    _gan.write(folder, {"model_type": _KIND, "classes": classes}, networks)
    if tables:
        rows = {name: table.contiguous() for name, table in tables.items()}
        save_file(rows, folder / STATISTICS, metadata={"format": "pt"})


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
    config = _gan.kind_of(folder, _KIND)
    painter = _gan.network(folder, config, GENERATOR, lambda said: Generator(_shape(said)))
    names = _classes(config, painter.shape.classes, folder)
    if not (folder / DISCRIMINATOR).is_file():
        return Read(names, painter, None)
    judge = _gan.network(folder, config, DISCRIMINATOR, lambda said: Discriminator(_shape(said)))
    return Read(names, painter, judge)


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    return _gan.shape(folder, _shape)


def _shape(said: dict[str, Any]) -> Shape:
    return Shape(**{**said, "channels": tuple(said["channels"])})


def _classes(config: dict[str, Any], count: int, folder: Path) -> list[str]:
    names = config.get("classes")
    if not isinstance(names, list) or len(names) != count:
        raise BadInput(f"the config in {str(folder)!r} has no list of the {count} classes' names")
    return [str(name) for name in names]
