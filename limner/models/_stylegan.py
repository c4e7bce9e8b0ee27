"""StyleGAN2 in a folder: config.json and a safetensors file for each network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models import _folder
from limner.nets.stylegan import Discriminator, Generator, Shape

__all__ = ["CONFIG", "DISCRIMINATOR", "GENERATOR", "NOISE", "fixed_noise", "read", "shape", "write"]

CONFIG, GENERATOR, DISCRIMINATOR, NOISE = (
    "config.json",
    "generator.safetensors",
    "discriminator.safetensors",
    "noise.safetensors",
)
_KIND = "stylegan2"


def write(
    folder: Path,
    generator: Generator,
    discriminator: Discriminator | None,
    noise: Tensor | None = None,
) -> None:
    """Save both, float32; a discriminator need not be there, nor `noise` (1, n) of its own."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    networks: dict[str, Generator | Discriminator] = {GENERATOR: generator}
    if discriminator is not None:
        networks[DISCRIMINATOR] = discriminator
    config: dict[str, Any] = {"model_type": _KIND}
    for file, network in networks.items():
        state = {name: weight.contiguous() for name, weight in network.state_dict().items()}
        save_file(state, folder / file, metadata={"format": "pt"})
        config[Path(file).stem] = asdict(network.shape)
    if noise is not None:
        save_file({"noise": noise.contiguous()}, folder / NOISE, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def fixed_noise(folder: Path, count: int) -> Tensor | None:
    """The noise that a network was published with, (1, count), or None."""
    if not (folder / NOISE).is_file():
        return None
    noise = _folder.tensors([folder / NOISE]).get("noise")
    if noise is None or noise.shape != (1, count):
        raise BadInput(f"the {NOISE} in {str(folder)!r} is not its generator's: convert it again")
    return noise.float()


def read(folder: Path) -> tuple[Generator, Discriminator | None]:
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
    if not (folder / DISCRIMINATOR).is_file():
        return painter, None
    judge = _folder.assembled(
        lambda said: Discriminator(_shape(said)),
        _said(config, "discriminator", folder),
        _folder.tensors([folder / DISCRIMINATOR]),
        folder,
    )
    return painter, judge


def _said(config: dict[str, Any], part: str, folder: Path) -> dict[str, Any]:
    said = config.get(part)
    if not isinstance(said, dict):
        raise BadInput(f"the config in {str(folder)!r} says nothing of the {part}")
    return said


def _shape(said: dict[str, Any]) -> Shape:
    sizes = tuple(said["channels"]), said["width"], said["mapping_layers"]
    return Shape(*sizes, said.get("clamp", 0.0))


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    said = _said(_folder.read_json(folder / CONFIG), "generator", folder)
    try:
        return _shape(said)
    except (KeyError, TypeError):
        raise BadInput(f"the config in {str(folder)!r} is not usable: convert it again") from None


def _there(file: Path) -> Path:
    if not file.is_file():
        _folder.refuse_pickled(file.parent)
        raise BadInput(f"no {file.name} in {str(file.parent)!r}: give RUN/model of a training")
    return file
