"""StyleGAN3 in a folder: config.json and the generator's safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.models import _gan
from limner.models._gan import GENERATOR
from limner.nets.stylegan3 import Generator, Layer, Shape

__all__ = ["KIND", "read", "shape", "write"]

KIND = "stylegan3"


def write(folder: Path, generator: Generator) -> None:
    """Save it, float32."""
    _gan.write(folder, {"model_type": KIND}, {GENERATOR: generator})


def read(folder: Path) -> Generator:
    """The network in float32, frozen. Raises BadInput for what is missing, broken or another."""
    config = _gan.kind_of(folder, KIND)
    return _gan.network(folder, config, GENERATOR, lambda said: Generator(_shape(said)))


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    return _gan.shape(folder, _shape)


def _shape(said: dict[str, Any]) -> Shape:
    rows = said["convolutions"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput("convolutions: give a list of objects")
    layers = (Layer(**{**row, "padding": tuple(row["padding"])}) for row in rows)
    return Shape(**{**said, "convolutions": tuple(layers)})
