"""The pictures that were painted or brought in, and finding them again by what is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.picture import Picture, load
from limner.studio._filters import Filters, where
from limner.studio._foreign import brought
from limner.studio._nearest import Nearest
from limner.studio._rows import Kept, insert, kept_of
from limner.studio._thumbs import thumbnail
from limner.studio.store import NotFound, Store, is_id, new_id

if TYPE_CHECKING:
    from limner.models.clip import Clip

__all__ = ["Filters", "Found", "Gallery", "Kept"]

_LONGEST_NAME = 100  # characters of a collection's name
_MOST = 1000  # pictures in one answer
_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class Found:
    """`score` is the cosine of the picture's and the sought embedding; None for text alone."""

    kept: Kept
    score: float | None


# Within Gallery the word list is a method.
KeptList = list[Kept]
FoundList = list[Found]


class Gallery:
    """The pictures of a store.

    clip:  what embeds them and the words that are sought; "embedded" when not given, opened when
           it is first needed
    """

    def __init__(self, store: Store, clip: Clip | None = None) -> None:
        self.store = store
        self._nearest = Nearest(store, clip)

    # ---- one picture -------------------------------------------------------------------------

    def get(self, id: str) -> Kept | None:
        rows = self._rows("id = ?", [id]) if is_id(id) else []
        return rows[0] if rows else None

    def file(self, id: str) -> Path:
        """Its PNG. Raises NotFound."""
        self._known(id)
        return self.store.picture(id)

    def thumbnail(self, id: str, side: int = 256) -> bytes:
        """A WebP that fits a square of `side` pixels or the next size that there is."""
        return thumbnail(self.store, self.file(id), side)

    def export(self, id: str, kind: str = "PNG", recipe: bool = True) -> bytes:
        """An encoded file: PNG, JPEG or WEBP. The mark of what a model made stays in each."""
        if kind not in _FORMATS:
            raise BadInput(f"no kind {kind!r}: choose of {', '.join(_FORMATS)}")
        picture = self._load(self.file(id))
        return picture.bytes(kind, recipe=recipe)

    def favourite(self, id: str, on: bool = True) -> None:
        self._known(id)
        with self.store.transaction() as opened:
            opened.execute("UPDATE pictures SET favourite = ? WHERE id = ?", (on, id))

    def collect(self, id: str, name: str, on: bool = True) -> None:
        """Puts a picture into a collection, or out of it; one without pictures is no more."""
        name = name.strip()
        if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
            raise BadInput(f"a collection's name has 1 to {_LONGEST_NAME} printable characters")
        self._known(id)
        put = "INSERT OR IGNORE INTO collections SELECT ?, number FROM pictures WHERE id = ?"
        drop = (
            "DELETE FROM collections WHERE name = ? AND "
            "picture = (SELECT number FROM pictures WHERE id = ?)"
        )
        with self.store.transaction() as opened:
            opened.execute(put if on else drop, (name, id))

    def delete(self, id: str) -> None:
        """Removes a picture for good."""
        self._known(id)
        with self.store.transaction() as opened:
            opened.execute("DELETE FROM pictures WHERE id = ?", (id,))
        self.store.at("after-delete")
        self.store.remove_pictures([id])

    def bring(self, data: bytes, name: str) -> Kept:
        """Takes in a PNG, JPEG or WebP from elsewhere; the same file twice is one picture.

        Only its pixels and recipe are kept, limner's own or the text of another tool's.
        name:  what complaints call it; never a file's name here
        Raises BadInput and NoSpace."""
        id = new_id()
        picture, row = brought(id, data, name)
        with self.store.transaction() as opened:
            find = "SELECT id FROM pictures WHERE source = ?"
            known = opened.execute(find, (row["source"],)).fetchone()
            if known is None:
                self.store.write_pictures({id: picture.bytes()})
                try:
                    insert(opened, row)
                except BaseException:
                    self.store.remove_pictures([id])
                    raise
        self.store.at("after-import")
        return self._known(id if known is None else known["id"])

    # ---- many --------------------------------------------------------------------------------

    def list(
        self,
        filters: Filters = Filters(),  # noqa: B008 (frozen)
        limit: int = 50,
        before: str | None = None,
    ) -> KeptList:
        """The newest first; `before` is the last of the page before."""
        condition, values = where(filters)
        if before is not None:
            condition += " AND number < (SELECT number FROM pictures WHERE id = ?)"
            values.append(before if is_id(before) else "")
        return self._rows(condition, values, limit)

    def search(
        self,
        words: str | None = None,
        picture: Picture | None = None,
        text: str | None = None,
        filters: Filters = Filters(),  # noqa: B008 (frozen)
        limit: int = 50,
    ) -> FoundList:
        """Pictures that show the words, or look like the picture, or both; the likest first.

        text:  what the prompt contains; alone, it gives the newest first"""
        condition, values = where(filters, text)
        limit = max(0, min(limit, _MOST))
        if words is None and picture is None:
            return [Found(kept, None) for kept in self._rows(condition, values, limit)]
        scores = self._nearest.search(words, picture, condition, values, limit)
        marks = ", ".join("?" for _ in scores)
        rows = {kept.id: kept for kept in self._rows(f"id IN ({marks})", list(scores))}
        return [Found(rows[id], score) for id, score in scores.items() if id in rows]

    def embed_missing(self, most: int = 64) -> int:
        """Embeds up to so many pictures that search cannot find yet; gives how many it did."""
        return self._nearest.embed_missing(most)

    def collections(self) -> dict[str, int]:
        """How many pictures are in each, by name."""
        rows = self.store.read("SELECT name, count(*) FROM collections GROUP BY name ORDER BY name")
        return {row[0]: row[1] for row in rows}

    # ---- rows --------------------------------------------------------------------------------

    def _known(self, id: str) -> Kept:
        kept = self.get(id)
        if kept is None:
            raise NotFound("no such picture")
        return kept

    def _load(self, file: Path) -> Picture:
        try:
            return load(file)
        except BadInput:
            raise NotFound("the picture's file is missing or broken") from None

    def _rows(self, condition: str, values: Sequence[Any], limit: int = _MOST) -> KeptList:
        rows: list[sqlite3.Row] = self.store.read(
            "SELECT *, (SELECT group_concat(name, char(10)) FROM collections "
            "WHERE picture = pictures.number) AS names "
            f"FROM pictures WHERE {condition} ORDER BY number DESC LIMIT ?",
            [*values, max(0, min(limit, _MOST))],
        )
        return [kept_of(row, sorted((row["names"] or "").splitlines())) for row in rows]
