"""What is made for one StyleGAN2 — a mapper, directions — and how its folder names it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.models import _folder
from limner.models.stylegan import StyleGAN, open_stylegan

__all__ = ["CONFIG", "generator_of", "said_of", "told_of"]

CONFIG = "config.json"


def told_of(generator: StyleGAN) -> dict[str, Any]:
    """How a config names its generator: "embedded", or the folder."""
    own = generator.name == "embedded"
    name = generator.name if own else str(generator.files[0].parent.resolve())
    return {"generator": {"name": name, "fingerprint": generator.fingerprint}}


def said_of(folder: Path, kind: str) -> dict[str, Any]:
    """A folder's config. Raises BadInput where it is missing, pickled or of another kind."""
    if not (folder / CONFIG).is_file():
        _folder.refuse_pickled(folder)
    config: dict[str, Any] = _folder.read_json(folder / CONFIG)
    if config.get("model_type") != kind:
        raise BadInput(f"{str(folder)!r} is a {config.get('model_type')!r}: expected {kind}")
    return config


def generator_of(config: dict[str, Any], folder: Path) -> StyleGAN:
    """Opens the generator that a config names. Nothing is fetched: a folder may come from anywhere.

    Raises BadInput where it is not here, or is not the one that it was.
    """
    said = config.get("generator")
    name = said.get("name") if isinstance(said, dict) else None
    if not isinstance(name, str) or (name != "embedded" and not os.path.isdir(name)):
        raise BadInput(
            f"{str(folder)!r} was made for a generator at {name!r}, where there is none: say in "
            f"its {CONFIG} where it is now"
        )
    generator = open_stylegan(name)
    if not isinstance(said, dict) or generator.fingerprint != said.get("fingerprint"):
        raise BadInput(
            f"{str(folder)!r} was made for another generator than {name!r} is now: train it again"
        )
    return generator
