"""What a picture's row says, and the row as the rest of limner sees it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner.picture import Picture

__all__ = ["COLUMNS", "Kept", "insert", "kept_of", "row_of", "storable"]

COLUMNS = (
    "id", "job", "place", "task", "prompt", "folded", "negative", "model", "seed", "width",
    "height", "created", "seconds", "origin", "recipe", "elsewhere", "source",
)  # fmt: skip
_LARGEST = 2**63  # sqlite's whole numbers


@dataclass(frozen=True)
class Kept:
    """A picture of the gallery; times in seconds since 1970."""

    id: str
    job: str | None  # that painted it
    task: str | None
    prompt: str
    negative: str
    model: str | None
    seed: int | None
    width: int
    height: int
    created: float
    seconds: float | None  # that painting it took
    favourite: bool
    origin: str  # painted or imported
    recipe: dict[str, Any] | None
    foreign: str | None  # the recipe as another tool wrote it
    collections: tuple[str, ...]


def row_of(id: str, picture: Picture, **more: Any) -> dict[str, Any]:
    """The columns of a picture, from its pixels and recipe; `more` are further ones, or others."""
    recipe = picture.recipe or {}
    said = recipe.get("arguments")
    said = said if isinstance(said, dict) else {}
    height, width = picture.pixels.shape[1:]
    row = dict.fromkeys(COLUMNS) | {
        "id": id,
        "task": _text(recipe.get("task")),
        "prompt": _text(said.get("prompt")) or "",
        "negative": _text(said.get("negative")) or "",
        "model": _model(recipe.get("model")),
        "seed": _whole(said.get("seed")),
        "width": width,
        "height": height,
        "created": time.time(),
        "origin": "painted",
        "recipe": json.dumps(recipe) if picture.recipe is not None else None,
    }
    row |= more
    return row | {"folded": str(row["prompt"]).casefold()}


def storable(text: str) -> str:
    """Text that sqlite takes: lone surrogates, which JSON may hold, as codes; no NUL."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    fits = isinstance(value, int) and -_LARGEST <= value < _LARGEST
    return int(value) if fits else None  # type: ignore[call-overload,no-any-return]


def _model(told: object) -> str | None:
    return _text(told.get("name")) if isinstance(told, dict) else None


def insert(opened: sqlite3.Connection, row: Mapping[str, Any]) -> int:
    """Writes a row within the caller's transaction; gives its number."""
    marks = ", ".join(f":{name}" for name in COLUMNS)
    statement = f"INSERT INTO pictures ({', '.join(COLUMNS)}) VALUES ({marks})"
    return int(opened.execute(statement, dict(row)).lastrowid or 0)


def kept_of(row: sqlite3.Row, collections: Sequence[str]) -> Kept:
    """A row of `pictures`, all columns."""
    return Kept(
        id=row["id"],
        job=row["job"],
        task=row["task"],
        prompt=row["prompt"],
        negative=row["negative"],
        model=row["model"],
        seed=row["seed"],
        width=row["width"],
        height=row["height"],
        created=row["created"],
        seconds=row["seconds"],
        favourite=bool(row["favourite"]),
        origin=row["origin"],
        recipe=None if row["recipe"] is None else json.loads(row["recipe"]),
        foreign=row["elsewhere"],
        collections=tuple(collections),
    )
