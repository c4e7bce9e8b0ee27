"""Towers that look at noisy latents: opened from what `limner train noised-…` wrote."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import Level
from limner.models import _folder
from limner.models.embedded import folder as embedded_folder
from limner.nets.noised_tower import NoisedTower

__all__ = ["CARD", "WEIGHTS", "Noised", "built", "open_noised"]

CARD, WEIGHTS = "limner.json", "model.safetensors"
_SHAPE = ("channels", "outputs", "widths", "depth")


@dataclass(frozen=True, eq=False)
class Noised:
    """A tower and what its folder's card says."""

    name: str
    tower: nn.Module
    card: Mapping[str, Any]
    licence: str
    files: tuple[Path, ...]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files."""
        return _folder.fingerprint(self.files)

    @property
    def channels(self) -> int:
        """Of the latents that it looks at."""
        return int(self.card["tower"]["channels"])

    def to(self, device: str | torch.device) -> Noised:
        """The tower on a device; itself where it is so already."""
        device = torch.device(device)
        if device == self.device:
            return self
        return replace(self, tower=copy.deepcopy(self.tower).to(device), device=device)

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level`, of any family → (b, d), in x's type, with gradients.

        Latents are of about unit variance, and so is x once α² + σ² = 1.
        """
        scaled = x / math.hypot(*level)
        times = torch.full((len(x),), level.time, device=x.device)
        weight = next(self.tower.parameters())
        said: Tensor = self.tower(scaled.to(weight), times.to(weight))
        return said.to(x)


def open_noised(name: str | Path, recipe: str) -> Noised:
    """What `limner train RECIPE` wrote: "embedded", or a folder; float32, on the CPU.

    Only safetensors are read. Raises BadInput when it is missing, pickled, broken or another's.
    """
    folder = _embedded(recipe) if name == "embedded" else _folder.find_folder(name)
    if not (folder / CARD).is_file():
        _folder.refuse_pickled(folder)
    card = _folder.read_json(folder / CARD, missing={})
    shape = card.get("tower")
    if card.get("recipe") != recipe or not isinstance(shape, dict) or set(shape) != {*_SHAPE}:
        raise BadInput(
            f"{str(folder)!r} holds no network of limner train {recipe}: give a folder that it "
            "wrote, or embedded"
        )
    return Noised(
        name=str(name),
        tower=_folder.assembled(built, shape, _folder.weights(folder), folder),
        card=card,
        licence=str(card.get("licence", "see the model's own page")),
        files=(*_folder.weight_files(folder), folder / CARD),
    )


def built(shape: Mapping[str, Any]) -> NoisedTower:
    """The tower that a card describes."""
    return NoisedTower(shape["channels"], shape["outputs"], shape["widths"], shape["depth"])


def _embedded(recipe: str) -> Path:
    try:
        return embedded_folder(recipe)
    except BadInput:
        raise BadInput(
            f"limner has no embedded {recipe} model here: name one's folder (limner train {recipe} "
            "-o RUN makes RUN/model)"
        ) from None
