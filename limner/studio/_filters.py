"""Which pictures of the gallery are meant, as SQL with every value bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limner.errors import BadInput
from limner.studio._rows import storable

__all__ = ["ORIGINS", "Filters", "where"]

ORIGINS = ("painted", "imported")


@dataclass(frozen=True)
class Filters:
    """What is None does not count; times in seconds since 1970, `since` included, `until` not."""

    task: str | None = None
    model: str | None = None
    favourite: bool | None = None
    collection: str | None = None
    since: float | None = None
    until: float | None = None
    origin: str | None = None  # one of ORIGINS


def where(filters: Filters, text: str | None = None) -> tuple[str, list[Any]]:
    """A condition on `pictures`, and its values. text: what the prompt contains, in any case."""
    if filters.origin is not None and filters.origin not in ORIGINS:
        raise BadInput(f"no origin {filters.origin!r}: choose of {', '.join(ORIGINS)}")
    conditions = {
        "task = ?": filters.task,
        "model = ?": filters.model,
        "number IN (SELECT picture FROM collections WHERE name = ?)": filters.collection,
        "created >= ?": filters.since,
        "created < ?": filters.until,
        "origin = ?": filters.origin,
        "instr(folded, ?)": None if text is None else text.casefold(),
    }
    meant = {
        condition: storable(value) if isinstance(value, str) else value
        for condition, value in conditions.items()
        if value is not None
    }
    said = list(meant)
    if filters.favourite is not None:  # not bound: sqlite takes the index of favourites then
        said.append(f"favourite = {int(filters.favourite)}")
    return " AND ".join(said) or "TRUE", list(meant.values())
