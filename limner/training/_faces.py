"""What the recipes that look at faces share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limner.data import CaptionedPictures
from limner.data.world import WorldSource
from limner.errors import BadInput
from limner.training._checkpoint import replace_text
from limner.worlds.faces import World

__all__ = ["faces_of", "kept_back", "note"]


def faces_of(data: CaptionedPictures, recipe: str) -> World:
    """The world behind ``world:faces``. Raises BadInput for data of another kind."""
    if not isinstance(data, WorldSource) or not isinstance(data.world, World):
        raise BadInput(
            f"limner train {recipe} asks who is seen and what is true of each face, which other "
            "pictures do not tell: give --data world:faces"
        )
    return data.world


def kept_back(count: int) -> int:
    """How many of so many are never trained on, and measured with on the way: one in twenty."""
    return max(1, min(1000, count // 20))


def note(file: Path, step: int, told: dict[str, Any]) -> None:
    """A line of JSON for a step; a step that is learned again overwrites its line."""
    lines = file.read_text().splitlines() if file.exists() else []
    before = [line for line in lines if json.loads(line)["step"] < step]
    replace_text(
        file, "".join(line + "\n" for line in [*before, json.dumps({"step": step} | told)])
    )
