"""Where the shelf is and what lies on it: what finding a model by its name needs.

    SHELF/NAME/manifest.json    origin, licence, family, and each file with its size and SHA-256
    SHELF/NAME/model/…          a model's folder, or the one file of a checkpoint

A model comes onto the shelf whole, by one renaming, so that who only reads needs no lock.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.errors import BadInput

__all__ = [
    "FILES",
    "MANIFEST",
    "Held",
    "Shelved",
    "find",
    "on_shelf",
    "place_of",
    "shelf_folder",
    "to_files",
]

MANIFEST, FILES = "manifest.json", "model"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_PART = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Held:
    """A file of a shelved model: its path in the model's folder, bytes, and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Shelved:
    """A model on the shelf."""

    name: str
    origin: str  # the path or hub id (with its revision) that it came from
    family: str
    licence: str
    added: str  # when, ISO 8601
    files: tuple[Held, ...]

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def shelf_folder() -> Path:
    """~/.local/share/limner/models, or as XDG_DATA_HOME says."""
    share = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return share / "limner" / "models"


def place_of(name: str) -> Path:
    """Where a name's model would be. Raises BadInput for what cannot be one's name."""
    if not _NAME.fullmatch(name) or name.endswith(".lock"):
        raise BadInput(
            f"{name[:100]!r} cannot be a name on the shelf: take letters, digits, '.', '_' and '-'"
        )
    return shelf_folder() / name


def on_shelf(name: str) -> Shelved | None:
    """What the shelf says of a name; None where there is none. Raises BadInput for a broken one."""
    from limner.models._folder import read_json

    file = place_of(name) / MANIFEST
    if not file.is_file():
        return None
    said = read_json(file)
    try:
        files = tuple(_held(each) for each in said["files"])
        origin, family = str(said["origin"]), str(said["family"])
        return Shelved(name, origin, family, str(said["licence"]), str(said["added"]), files)
    except (KeyError, TypeError, ValueError):
        raise BadInput(
            f"{str(file)!r} is no manifest of limner's: limner models remove {name}"
        ) from None


def _held(said: dict[str, Any]) -> Held:
    parts = str(said["path"]).split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(said["path"])
    return Held("/".join(parts), int(said["size"]), str(said["sha256"]))


def find(name: str | Path) -> Path | None:
    """The folder, or the one checkpoint, of a model on the shelf: by its name or its hub id."""
    if not isinstance(name, str):
        return None
    named = [name] if _NAME.fullmatch(name) else []
    if name.count("/") == 1:
        named = [place.name for place in _places() if _is_from(place.name, name)]
    for each in named:
        found = on_shelf(each)
        if found is not None:
            return _opened_at(place_of(each) / FILES, found)
    return None


def _places() -> list[Path]:
    folder = shelf_folder()
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name))


def _is_from(name: str, origin: str) -> bool:
    try:
        found = on_shelf(name)
    except BadInput:  # another model's manifest is broken
        return False
    return found is not None and found.origin.partition("@")[0] == origin


def _opened_at(folder: Path, shelved: Shelved) -> Path:
    """What is opened: the folder, or the file where there is but one."""
    (first, *others) = shelved.files
    alone = not others and first.path.endswith(".safetensors")
    return folder / first.path if alone else folder


def to_files(names: str) -> str:
    """A name, or what stands after a model's plus ("NAME:0.8+OTHER"): each name that is one
    checkpoint on the shelf as that file."""
    return "+".join(_to_file(each) for each in names.split("+"))


def _to_file(said: str) -> str:
    name, colon, weight = said.partition(":")
    found = None if os.path.exists(name) else find(name)
    return said if found is None or found.is_dir() else f"{found}{colon}{weight}"
