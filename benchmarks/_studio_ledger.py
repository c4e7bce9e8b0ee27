"""What the lives of `studio_kill.py` said, and whether the folder agrees: read from sqlite and the
files themselves, without the code that wrote them."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from limner.picture import Picture, from_uint8, load

__all__ = ["Ledger", "drawn", "problems", "wanted"]

FATES = {"done": 9, "failed": 2, "cancelled": 2, "quarantined": 2}  # how often each is a job's
SIDE = 24  # pixels


def drawn(name: str, place: int = 0) -> Picture:
    """The picture that a name always gives."""
    seed = hashlib.sha256(f"{name} {place}".encode()).digest()
    pixels = np.random.default_rng(list(seed)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return from_uint8(pixels, recipe={"task": "generate", "arguments": {"prompt": name}})


@cache
def wanted(key: str) -> tuple[str, int, str | None]:
    """Of the job with this key: what becomes of it, how many pictures it paints, its shape."""
    chance = random.Random(key)
    fate = chance.choices(list(FATES), list(FATES.values()))[0]
    shape = None if fate == "quarantined" else chance.choice([None, "a", "b"])
    return fate, chance.randint(1, 3), shape


class Ledger:
    """What was said, over all lives."""

    def __init__(self) -> None:
        self.said: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def hear(self, ear: Connection) -> None:
        with suppress(EOFError, ConnectionResetError):
            while True:
                self.add(ear.recv())

    def add(self, words: tuple[Any, ...]) -> None:
        self.said[words[0]].append(words[1:])

    def asked(self) -> list[str]:
        """Keys without an answer."""
        answered = {key for key, _ in self.said["accepted"]}
        return [key for (key,) in dict.fromkeys(self.said["asks"]) if key not in answered]


def problems(folder: Path, ledger: Ledger) -> list[str]:
    """Where the folder is not what was said."""
    base = sqlite3.connect(folder / "studio.sqlite")
    base.row_factory = sqlite3.Row
    found = [
        f"sqlite: {row[0]}" for row in base.execute("PRAGMA integrity_check") if row[0] != "ok"
    ]
    found += [f"sqlite: {tuple(row)}" for row in base.execute("PRAGMA foreign_key_check")]
    rows = base.execute("SELECT * FROM pictures ORDER BY job, place").fetchall()
    jobs = base.execute("SELECT * FROM jobs").fetchall()
    found += _jobs_wrong(jobs, rows, ledger)
    found += _imports_wrong(base, rows, ledger)
    found += _files_wrong(folder, jobs, rows)
    base.close()
    return found


def _jobs_wrong(jobs: list[sqlite3.Row], rows: list[sqlite3.Row], ledger: Ledger) -> Iterator[str]:
    count, by_key = Counter(job["repeat"] for job in jobs), {job["repeat"]: job for job in jobs}
    for key in {key for (key,) in ledger.said["asks"]} | set(count):
        if count[key] != 1:
            yield f"{count[key]} jobs of the key {key}"
    for key, id in ledger.said["accepted"]:
        if key in by_key and by_key[key]["id"] != id:
            yield f"{key} was accepted as {id} and is {by_key[key]['id']}"
    painted = defaultdict(list)
    for row in rows:
        painted[row["job"]].append((row["place"], row["id"]))
    for job in jobs:
        fate, paints, _ = wanted(job["repeat"])
        if job["state"] != fate:
            yield f"{job['repeat']} is {job['state']}, not {fate}"
        places = [place for place, _ in painted[job["id"]]]
        if places != list(range(paints if fate == "done" else 0)):
            yield f"{job['repeat']} ({fate}) has the pictures {places}"
    said = Counter(id for id, _ in ledger.said["finished"])
    for id, pictures in ledger.said["finished"]:
        if said[id] > 1 or [each for _, each in painted[id]] != list(pictures):
            yield f"{id} finished with {pictures}, {said[id]} times, and has {painted[id]}"


def _imports_wrong(
    base: sqlite3.Connection, rows: list[sqlite3.Row], ledger: Ledger
) -> Iterator[str]:
    count = Counter(row["prompt"] for row in rows if row["origin"] == "imported")
    deleting = {name for (name,) in ledger.said["deletes"]}
    for name, id in ledger.said["brought"]:
        if name not in deleting and count[name] != 1:
            yield f"{name} ({id}) is there {count[name]} times"
    ids = {row["id"]: row for row in rows}
    for (id,) in ledger.said["deleted"]:
        if id in ids:
            yield f"{id} was deleted and is there"
    listed = base.execute("SELECT id FROM collections JOIN pictures ON picture = number").fetchall()
    collected = {row["id"] for row in listed}
    for (id,) in ledger.said["marked"]:
        if id not in ids or not ids[id]["favourite"] or id not in collected:
            yield f"{id} was marked and is not"


def _files_wrong(folder: Path, jobs: list[sqlite3.Row], rows: list[sqlite3.Row]) -> Iterator[str]:
    keys = {job["id"]: job["repeat"] for job in jobs}
    for row in rows:
        expected = drawn(keys.get(row["job"], row["prompt"]), row["place"] or 0)
        seen = load(folder / "pictures" / f"{row['id']}.png")  # raises where it is not whole
        if not (seen.uint8() == expected.uint8()).all():
            yield f"{row['id']} is another picture"
    known = {f"{row['id']}.png" for row in rows}
    for file in (folder / "pictures").iterdir():
        if file.name not in known:
            yield f"an orphan: {file.name}"
    uploads = {file.name for file in (folder / "uploads").iterdir()}
    needed = {name for job in jobs for name in uploads if name in job["arguments"]}
    if len(needed) != len(jobs) or uploads != needed:
        yield f"{len(uploads)} uploads, {len(needed)} of them of the {len(jobs)} jobs"
