"""The table of jobs: its rows as Jobs, and what becomes of them, in the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from limner.studio import Job

__all__ = [
    "MINE",
    "after_crash",
    "cancel",
    "ended",
    "following",
    "job_of",
    "leased",
    "marks",
    "put_back",
    "select",
]

# Of an id and a worker: the lease is still this worker's.
MINE = "id = ? AND state = 'running' AND lease = ?"

_CRASHES = 2  # with so many it is quarantined
_NOT_RUN = "its worker died while painting it, again and again: it is not tried any more"


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" for _ in values)


def job_of(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        task=row["task"],
        arguments=json.loads(row["arguments"]),
        state=row["state"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        crashes=row["crashes"],
        error=None if row["error"] is None else json.loads(row["error"]),
        result=None if row["result"] is None else json.loads(row["result"]),
        pictures=tuple(json.loads(row["made"])),
    )


def select(where: str, order: str) -> str:
    """Rows for job_of; its values are those of the condition, and how many at the most."""
    return (
        "SELECT *, (SELECT json_group_array(id) FROM (SELECT id FROM pictures "
        "WHERE job = jobs.id ORDER BY place)) AS made "
        f"FROM jobs WHERE {where} ORDER BY number {order} LIMIT ?"
    )


def following(opened: sqlite3.Connection, most: int) -> list[str]:
    """The ids of the oldest waiting job and of those that fit beside it, oldest first."""
    waiting = "SELECT id, shape, paints FROM jobs WHERE state = 'queued'"
    first = opened.execute(f"{waiting} ORDER BY number LIMIT 1").fetchone()
    if first is None:
        return []
    if first["shape"] is None:
        return [first["id"]]
    chosen, sum = list[str](), 0
    for row in opened.execute(f"{waiting} AND shape = ? ORDER BY number", (first["shape"],)):
        if chosen and sum + row["paints"] > most:
            break  # a later, smaller one does not overtake it
        chosen.append(row["id"])
        sum += row["paints"]
    return chosen


def cancel(opened: sqlite3.Connection, id: str) -> None:
    """At once where it waits; where it runs its worker is to see it."""
    opened.execute(
        "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
        (time.time(), id),
    )
    opened.execute("UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (id,))


def ended(
    opened: sqlite3.Connection,
    id: str,
    worker: str,
    state: str,
    *,
    error: str | None = None,
    result: str | None = None,
) -> bool:
    """Brings a running job of this worker to a final state; False where it is not one."""
    values = (state, time.time(), error, result, id, worker)
    statement = "UPDATE jobs SET state = ?, finished = ?, error = ?, result = ?, lease = NULL"
    return opened.execute(f"{statement} WHERE {MINE}", values).rowcount == 1


def leased(opened: sqlite3.Connection, worker: str) -> list[str]:
    rows = opened.execute("SELECT id FROM jobs WHERE state = 'running' AND lease = ?", (worker,))
    return [row["id"] for row in rows]


def stop_cancelled(opened: sqlite3.Connection, whose: str, values: tuple[str, ...]) -> None:
    opened.execute(
        "UPDATE jobs SET state = 'cancelled', finished = ?, lease = NULL "
        f"WHERE state = 'running' AND cancelling AND {whose}",
        (time.time(), *values),
    )


def put_back(opened: sqlite3.Connection, whose: str, values: tuple[str, ...]) -> None:
    """Running jobs wait again; those that were to stop have stopped."""
    stop_cancelled(opened, whose, values)
    opened.execute(
        "UPDATE jobs SET state = 'queued', lease = NULL, started = NULL "
        f"WHERE state = 'running' AND {whose}",
        values,
    )


def after_crash(opened: sqlite3.Connection, worker: str) -> None:
    """What a dead worker ran waits again, each to run alone from now on; what ran alone because its
    worker died before is quarantined."""
    stop_cancelled(opened, "lease = ?", (worker,))
    error = json.dumps({"code": "crashed", "message": _NOT_RUN})
    opened.execute(
        "UPDATE jobs SET state = 'quarantined', lease = NULL, finished = ?, error = ?, "
        "crashes = crashes + 1 WHERE state = 'running' AND lease = ? AND crashes >= ?",
        (time.time(), error, worker, _CRASHES - 1),
    )
    opened.execute(
        "UPDATE jobs SET state = 'queued', lease = NULL, started = NULL, shape = NULL, "
        "crashes = crashes + 1 WHERE state = 'running' AND lease = ?",
        (worker,),
    )
