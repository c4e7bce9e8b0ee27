"""The embeddings of the gallery's pictures, and which of them are nearest to what is sought.

Exact: one product over a matrix of all of them, kept in memory and in step with the table, which
another process may write.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from limner.errors import BadInput
from limner.picture import Picture, load
from limner.prompt import check
from limner.studio.store import Store

if TYPE_CHECKING:
    from limner.models.clip import Clip

__all__ = ["Matrix", "Nearest"]

_FIRST = 512  # of the nearest: whether they pass the filters is asked before it is asked of all


class Nearest:
    """Embeddings of a store's pictures; of several threads' searches one runs at a time."""

    def __init__(self, store: Store, clip: Clip | None = None) -> None:
        self.store = store
        self._given = clip
        self._matrix = Matrix()
        self._complete = 0  # up to this number none lacks an embedding: it need not be looked for

    @cached_property
    def clip(self) -> Clip:
        from limner.models.clip import open_clip

        return open_clip("embedded") if self._given is None else self._given

    # ---- making them -------------------------------------------------------------------------

    def embed_missing(self, most: int) -> int:
        """Embeds up to so many pictures that lack it, or that another CLIP saw, the newest first;
        gives how many. A picture whose file is broken is not looked at again."""
        newest = self.store.read("SELECT ifnull(max(number), 0) FROM pictures")[0][0]
        missing = self.store.read(
            "SELECT number, id FROM pictures WHERE number > ? AND NOT EXISTS (SELECT 1 FROM "
            "embeddings WHERE picture = pictures.number AND clip = ?) ORDER BY number DESC LIMIT ?",
            (self._complete, self.clip.fingerprint, max(0, most)),
        )
        rows = [(each["number"], self._row(each["id"])) for each in missing]
        if rows:
            with self.store.transaction() as opened:
                for number, row in rows:  # the picture may have been deleted by now
                    opened.execute(
                        "INSERT OR REPLACE INTO embeddings (picture, clip, row) "
                        "SELECT number, ?, ? FROM pictures WHERE number = ?",
                        (self.clip.fingerprint, row, number),
                    )
        if len(rows) < most:
            self._complete = newest
        return len(rows)

    def _row(self, id: str) -> bytes:
        """float16, of length 1; nothing where the file is missing or broken."""
        try:
            seen = self.clip.embed_pictures(load(self.store.picture(id)).pixels[None])[0]
        except BadInput:
            return b""
        return seen.cpu().numpy().astype(np.float16).tobytes()

    # ---- searching ---------------------------------------------------------------------------

    def search(
        self,
        words: str | None,
        picture: Picture | None,
        condition: str,
        values: Sequence[Any],
        limit: int,
    ) -> dict[str, float]:
        """Cosines by picture's id, the highest first, of those that meet the condition."""
        sought = self._sought(words, picture)
        with self._matrix.lock:
            self._matrix.refresh(self.store, self.clip.fingerprint, len(sought))
            scores = self._matrix.scores(sought)
            numbers = self._matrix.numbers
        first = _best(scores, max(_FIRST, 2 * limit))
        met = first[np.isin(numbers[first], self._meeting(condition, values, numbers[first]))]
        if len(met) < limit and len(first) < len(scores):
            among = np.flatnonzero(np.isin(numbers, self._meeting(condition, values)))
            met = among[_best(scores[among], limit)]
        found = dict(zip(numbers[met[:limit]].tolist(), scores[met[:limit]].tolist()))
        ids = self._ids(list(found))
        return {ids[number]: score for number, score in found.items() if number in ids}

    def _sought(self, words: str | None, picture: Picture | None) -> np.ndarray:
        """(d,) float32 of length 1: what words and picture have in common."""
        seen = []
        if words is not None:
            seen.append(self.clip.embed_texts([check(words)]))
        if picture is not None:
            seen.append(self.clip.embed_pictures(picture.pixels[None]))
        return functional.normalize(torch.cat(seen).sum(0), dim=0).cpu().numpy()

    def _meeting(
        self, condition: str, values: Sequence[Any], among: np.ndarray | None = None
    ) -> np.ndarray:
        """The numbers of all pictures that meet the condition, or of those among these."""
        statement = f"SELECT number FROM pictures WHERE {condition}"
        if among is not None:
            statement += " AND number IN (SELECT value FROM json_each(?))"
            values = [*values, json.dumps(among.tolist())]
        rows = self.store.read(statement, values)
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def _ids(self, numbers: Sequence[int]) -> dict[int, str]:
        listed = "number IN (SELECT value FROM json_each(?))"
        statement = f"SELECT number, id FROM pictures WHERE {listed}"
        return {row[0]: row[1] for row in self.store.read(statement, [json.dumps(numbers)])}


class Matrix:
    """The table's rows of one CLIP in memory, (n, d) float32, in the order they were written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._clip = ""
        self._empty(0)

    def _empty(self, width: int) -> None:
        self._last = self._count = 0  # the newest row's number in the table; rows so far
        self._numbers = np.empty(0, np.int64)
        self._rows = np.empty((0, width), np.float32)

    @property
    def numbers(self) -> np.ndarray:
        """Of the pictures, row by row; some may have been deleted since."""
        return self._numbers[: self._count]

    def scores(self, sought: np.ndarray) -> np.ndarray:
        """Row by row, the product with what is sought (d,)."""
        found: np.ndarray = self._rows[: self._count] @ sought
        return found

    def refresh(self, store: Store, clip: str, width: int) -> None:
        """Adds what was written since, by whatever process."""
        if clip != self._clip or width != self._rows.shape[1]:
            self._clip = clip
            self._empty(width)
        new = store.read(
            "SELECT number, picture, row FROM embeddings "
            "WHERE number > ? AND clip = ? AND length(row) = ? ORDER BY number",
            (self._last, clip, 2 * width),  # float16 has two bytes
        )
        if not new:
            return
        self._make_room(self._count + len(new))
        at = slice(self._count, self._count + len(new))
        flat = np.frombuffer(b"".join(row["row"] for row in new), np.float16)
        self._rows[at] = flat.reshape(len(new), width)
        self._numbers[at] = [row["picture"] for row in new]
        self._count, self._last = at.stop, new[-1]["number"]

    def _make_room(self, rows: int) -> None:
        """Grows by half at a time, so that one more picture does not move all of them."""
        if rows > len(self._rows):
            more = max(rows, len(self._rows) * 3 // 2) - len(self._rows)
            self._numbers = np.concatenate([self._numbers, np.zeros(more, np.int64)])
            wide = np.zeros((more, self._rows.shape[1]), np.float32)
            self._rows = np.concatenate([self._rows, wide])


def _best(scores: np.ndarray, most: int) -> np.ndarray:
    """The places of the highest, the highest first."""
    if most < len(scores):
        few = np.argpartition(scores, len(scores) - most)[len(scores) - most :]
    else:
        few = np.arange(len(scores))
    return few[np.argsort(-scores[few], kind="stable")]
