"""Pictures that lie encoded somewhere in files, listed with their captions."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limner.data._decode import decode
from limner.errors import BadInput

__all__ = ["MAX_BYTES", "Item", "Listed", "read_bytes"]

MAX_BYTES = 256 * 2**20  # of one encoded picture; the largest that `decode` takes is smaller
THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes outside the interpreter's lock

log = logging.getLogger(__name__)


class Item(NamedTuple):
    name: str  # what an error calls it
    caption: str
    file: Path
    offset: int = 0  # bytes into the file
    length: int | None = None  # bytes; None: to the file's end


class Listed:
    """Captioned pictures from a list of items; holds the captions, reads pictures when asked.

    With skip_broken, a picture that cannot be read gives way to the next one in the list, is logged
    once, and its name is in `broken`; else it is an error that names it.
    """

    def __init__(
        self, items: Sequence[Item], size: int, *, skip_broken: bool, broken: Sequence[str] = ()
    ) -> None:
        self.size, self.skip_broken = size, skip_broken
        self.broken = set(broken)
        self._items = items
        for name in broken:
            log.warning("left out: %s", name)

    def __len__(self) -> int:
        return len(self._items)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        with ThreadPoolExecutor(min(THREADS, max(1, len(indices)))) as pool:
            pairs = list(pool.map(self._one, indices))
        pictures = [picture for picture, _ in pairs]
        shape = (len(pairs), self.size, self.size, 3)
        return np.array(pictures, np.uint8).reshape(shape), [caption for _, caption in pairs]

    def _one(self, index: int) -> tuple[np.ndarray, str]:
        """The item's picture and caption, or the next item's whose picture is whole."""
        first = range(len(self))[index]  # IndexError when there is none
        for place in range(first, first + len(self)):
            item = self._items[place % len(self)]
            if item.name in self.broken:
                continue
            try:
                return decode(read_bytes(item), item.name, self.size), item.caption
            except BadInput as error:
                if not self.skip_broken:
                    raise
                self.broken.add(item.name)
                log.warning("left out: %s", error)
        raise BadInput(
            f"none of the {len(self)} pictures can be read: {sorted(self.broken)[0]!r} …"
        )


def read_bytes(item: Item) -> bytes:
    """The item's bytes from its file; BadInput naming it."""
    try:
        with open(item.file, "rb") as file:
            file.seek(item.offset)
            limit = MAX_BYTES + 1 if item.length is None else item.length
            data = file.read(limit)
    except OSError as error:
        raise BadInput(f"cannot read {item.name!r}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"{item.name!r} has over {MAX_BYTES // 2**20} MiB: no picture is that large")
    if item.length is not None and len(data) < item.length:
        raise BadInput(f"{item.name!r} ends too early: the file has changed or is incomplete")
    return data
