"""Pictures of classes: each one's is the thing that its caption names first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from limner.data import CaptionedPictures
from limner.errors import BadInput
from limner.training._checkpoint import replace_text
from limner.training._pool import Pool, draw
from limner.training._processes import processes
from limner.worlds import _vocabulary as words

__all__ = ["Classed", "class_names", "classed", "named_first"]

_LABELS, _NAMES, _CHUNK = "labels.npy", "classes.json", 64
_UNKNOWN, _NONE = -2, -1  # in the place of a label: not looked up yet, none of the classes


class Classed:
    """The pictures of a pool that have a class; in the place of a caption, its name."""

    def __init__(self, pool: Pool, labels: np.ndarray, names: Sequence[str]) -> None:
        self.size, self.names, self._pool = pool.size, list(names), pool
        self._kept = np.flatnonzero(labels >= 0)
        self._labels = labels[self._kept]

    def __len__(self) -> int:
        return len(self._kept)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        chosen = np.asarray(indices)
        pictures, _ = self._pool.batch(self._kept[chosen])
        return pictures, [self.names[label] for label in self._labels[chosen]]


def class_names(said: str | None) -> list[str]:
    """The classes in a list with commas; None: the nouns of the world scenes. Raises BadInput."""
    if said is None:
        return [*(noun.word for noun in words.glyph_nouns("full")), *words.SHAPES]
    names = [" ".join(name.split()).lower() for name in said.split(",")]
    if len(set(names)) < len(names) or not all(names):
        raise BadInput(f'classes {said!r}: give each once, such as "cat, dog, top hat"')
    return names


def named_first(caption: str, names: Sequence[str]) -> int | None:
    """The number of the class that the caption names first, as whole words; None: it has none.

    The pencil of a pencil sketch, and its like, says how, not what.
    """
    text = caption.lower()
    for manner in (*words.STYLES, *words.MATERIALS):
        if " " in manner and manner not in names:
            text = text.replace(manner, "")
    found = []
    for number, name in enumerate(names):
        place = re.search(rf"\b{re.escape(name)}\b", text)
        if place:
            found.append((place.start(), -len(name), number))
    return min(found)[2] if found else None


def classed(
    data: CaptionedPictures,
    run: Path,
    count: int,
    names: Sequence[str],
    watch: Callable[[int, int], None] | None,
    *,
    all_of_them: bool,
) -> Classed:
    """The first ``count`` pictures, kept in ``run/pictures`` as `_pool.py` has it, with classes.

    Drawn by one process while the others wait. Classes that no picture has are left out unless
    ``all_of_them`` is asked for. Raises BadInput where a run was begun with others.
    """
    count, here = min(count, len(data)), processes()
    with here.main_process_first():
        if here.is_main_process:
            noting = _Noting(data, run, count, names)
            for done in draw(noting, run / "pictures", count):
                if watch:
                    watch(done, count)
            noting.finish()
    labels = np.load(run / _LABELS)
    if not all_of_them:
        present, renumbered = np.unique(labels[labels >= 0], return_inverse=True)
        labels[labels >= 0] = renumbered
        names = [names[number] for number in present]
    if np.count_nonzero(labels >= 0) < 2:
        known = ", ".join(names[:5]) if all_of_them else "a noun of the world scenes"
        raise BadInput(f"hardly a caption names {known}: say with --classes what they name")
    return Classed(Pool(run / "pictures"), labels, names)


class _Noting:
    """A source that writes down the classes of the pictures that are drawn from it."""

    def __init__(
        self, source: CaptionedPictures, run: Path, count: int, names: Sequence[str]
    ) -> None:
        self.size, self._source, self._names = source.size, source, list(names)
        told, file = run / _NAMES, run / _LABELS
        if told.exists() and json.loads(told.read_text()) != self._names:
            raise BadInput(f"{run} holds other classes: give those, or name another folder")
        replace_text(told, json.dumps(self._names))
        if file.exists() and len(np.load(file, mmap_mode="r")) != count:
            file.unlink()
        if not file.exists():
            np.save(file, np.full(count, _UNKNOWN, np.int32))
        self._labels = np.load(file, mmap_mode="r+")

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        pictures, captions = self._source.batch(indices)
        numbers = [named_first(caption, self._names) for caption in captions]
        self._labels[np.asarray(indices)] = [_NONE if n is None else n for n in numbers]
        self._labels.flush()
        return pictures, captions

    def finish(self) -> None:
        """Of pictures that were drawn before without their classes, these."""
        for chunk in self._unknown():
            self.batch(chunk.tolist())

    def _unknown(self) -> Iterator[np.ndarray]:
        lacking = np.flatnonzero(self._labels == _UNKNOWN)
        for first in range(0, len(lacking), _CHUNK):
            yield lacking[first : first + _CHUNK]
