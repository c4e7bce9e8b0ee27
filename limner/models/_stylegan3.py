"""StyleGAN3 in a folder: config.json and the generator's safetensors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.models import _folder
from limner.models._stylegan import CONFIG, GENERATOR
from limner.nets.stylegan3 import Generator, Layer, Shape

__all__ = ["KIND", "read", "shape", "write"]

KIND = "stylegan3"


def write(folder: Path, generator: Generator) -> None:
    """Save it, float32."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    state = {name: weight.contiguous() for name, weight in generator.state_dict().items()}
    save_file(state, folder / GENERATOR, metadata={"format": "pt"})
    config = {"model_type": KIND, "generator": asdict(generator.shape)}
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def read(folder: Path) -> Generator:
    """The network in float32, frozen. Raises BadInput for what is missing, broken or another."""
    config = _folder.read_json(folder / CONFIG)
    said = config.get("generator")
    if config.get("model_type") != KIND or not isinstance(said, dict):
        raise BadInput(f"{str(folder)!r} is a {config.get('model_type')!r}: expected {KIND}")
    if not (folder / GENERATOR).is_file():
        _folder.refuse_pickled(folder)
        raise BadInput(f"no {GENERATOR} in {str(folder)!r}: convert it again")
    weights = _folder.tensors([folder / GENERATOR])
    return _folder.assembled(lambda given: Generator(_shape(given)), said, weights, folder)


def shape(folder: Path) -> Shape:
    """The generator's, from the config alone. Raises BadInput where it says none."""
    said = _folder.read_json(folder / CONFIG).get("generator")
    try:
        return _shape(said if isinstance(said, dict) else {})
    except (KeyError, TypeError):
        raise BadInput(f"the config in {str(folder)!r} is not usable: convert it again") from None


def _shape(said: dict[str, Any]) -> Shape:
    rows = said["convolutions"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput("convolutions: give a list of objects")
    layers = (Layer(**{**row, "padding": tuple(row["padding"])}) for row in rows)
    return Shape(**{**said, "convolutions": tuple(layers)})
