"""Arrays made once and kept on disk, row by row, with what is said of each row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from limner.training._checkpoint import replace_text
from limner.training._processes import processes

__all__ = ["Cached", "cached", "fill"]

_MADE_OF, _TOLD = "made_of.json", "told.jsonl"

Rows = tuple[dict[str, np.ndarray], list[Any]]
"""Arrays by name, a row for each of some pictures, and what is told of each, as JSON has it."""


class Cached:
    """What `fill` made: arrays by name, (count, …), not read before they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.told: list[Any] = [json.loads(line) for line in _lines(folder / _TOLD)]
        files = sorted(folder.glob("*.npy"))
        self.arrays = {file.stem: np.load(file, mmap_mode="r") for file in files}

    def __len__(self) -> int:
        return len(self.told)


def cached(
    folder: Path,
    made_of: dict[str, Any],
    count: int,
    make: Callable[[range], Rows],
    watch: Callable[[int, int], None] | None,
) -> Cached:
    """Rows made by one process while the others wait. See `fill`."""
    here = processes()
    with here.main_process_first():
        for done in fill(folder, made_of, count, make) if here.is_main_process else ():
            if watch:
                watch(done, count)
    return Cached(folder)


def fill(
    folder: Path,
    made_of: dict[str, Any],
    count: int,
    make: Callable[[range], Rows],
    *,
    chunk: int = 64,
) -> Iterator[int]:
    """Rows 0 … count − 1 into `folder`, yielding how many are done.

    An interrupted call is gone on with after its last whole chunk; what was made of something else,
    or in another number, is made again.
    """
    made_of = {"rows": count, **made_of}
    done = _kept(folder, made_of)
    if done == count:
        _finish(folder)
        yield count
        return
    told = folder / _TOLD
    replace_text(told, "".join(line + "\n" for line in _lines(told)[:done]))
    drafts: dict[str, Any] = {}
    while done < count:
        arrays, said = make(range(done, min(done + chunk, count)))
        for name, rows in arrays.items():
            if name not in drafts:
                mode: Any = "r+" if done else "w+"
                place, shape = folder / f"{name}.partial", (count, *rows.shape[1:])
                drafts[name] = np.lib.format.open_memmap(place, mode, rows.dtype, shape)
            drafts[name][done : done + len(rows)] = rows
            drafts[name].flush()
        with told.open("a") as file:
            file.writelines(json.dumps(each) + "\n" for each in said)
        done += len(said)
        replace_text(folder / _MADE_OF, json.dumps(made_of | {"done": done}))
        yield done
    _finish(folder)


def _finish(folder: Path) -> None:
    for draft in folder.glob("*.partial"):
        draft.rename(draft.with_suffix(".npy"))


def _kept(folder: Path, made_of: dict[str, Any]) -> int:
    """How many rows of an interrupted call are there; what is of something else is removed."""
    file = folder / _MADE_OF
    kept = json.loads(file.read_text()) if file.exists() else {}
    done: int = kept.pop("done", 0)
    if kept != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return 0
    return done


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
