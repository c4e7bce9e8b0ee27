"""Pictures of a source drawn or decoded once and kept on disk: training reads them many times."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limner.data import CaptionedPictures
from limner.training._checkpoint import replace_text
from limner.training._processes import processes

__all__ = ["Pool", "draw", "pooled"]

_PICTURES, _DRAFT, _MADE_OF = "pictures.npy", "pictures.partial", "made_of.json"
_CAPTIONS = "captions.jsonl"


class Pool:
    """Drawn pictures and their captions as a source; of twins, `together` is how many are."""

    def __init__(self, folder: Path, together: int = 1) -> None:
        self.together = together
        self.values = np.load(folder / _PICTURES, mmap_mode="r")
        self.size = self.values.shape[1]
        self.captions: list[str] = [json.loads(line) for line in _lines(folder / _CAPTIONS)]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        return self.values[np.asarray(indices)], [self.captions[i] for i in indices]


def pooled(
    source: CaptionedPictures, folder: Path, count: int, watch: Callable[[int, int], None] | None
) -> Pool:
    """The first pictures of a source, drawn by one process while the others wait.

    ``watch`` is told how many are drawn, of how many.
    """
    here = processes()
    with here.main_process_first():
        for done in draw(source, folder, count) if here.is_main_process else ():
            if watch:
                watch(done, min(count, len(source)))
    return Pool(folder, getattr(source, "together", 1))


def draw(source: CaptionedPictures, folder: Path, count: int, *, chunk: int = 64) -> Iterator[int]:
    """Draw the first ``count`` pictures into ``folder``, yielding how many are done.

    An interrupted call is gone on with after its last whole chunk; what was made of another
    source, or in another number, is made again.
    """
    count = min(count, len(source))
    first, _ = source.batch(range(min(4, count)))
    made_of = {"pictures": count, "sha256": hashlib.sha256(first.tobytes()).hexdigest()}
    done = _kept(folder, made_of)
    if (folder / _PICTURES).exists():
        yield count
        return
    mode: Any = "r+" if done else "w+"
    shape = (count, source.size, source.size, 3)
    values = np.lib.format.open_memmap(folder / _DRAFT, mode, np.uint8, shape)
    told = folder / _CAPTIONS
    replace_text(told, "".join(line + "\n" for line in _lines(told)[:done]))
    while done < count:
        pictures, captions = source.batch(range(done, min(done + chunk, count)))
        values[done : done + len(pictures)] = pictures
        values.flush()
        with told.open("a") as file:
            file.writelines(json.dumps(caption) + "\n" for caption in captions)
        done += len(pictures)
        replace_text(folder / _MADE_OF, json.dumps(made_of | {"done": done}))
        yield done
    (folder / _DRAFT).rename(folder / _PICTURES)


def _kept(folder: Path, made_of: dict[str, Any]) -> int:
    """How many pictures of an interrupted call are there; what is of another source is removed."""
    told = folder / _MADE_OF
    kept = json.loads(told.read_text()) if told.exists() else {}
    done: int = kept.pop("done", 0)
    if kept != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return 0
    return done


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
