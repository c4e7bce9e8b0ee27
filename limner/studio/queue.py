"""Jobs that are neither lost nor run twice to an end.

A job is accepted when its row is on disk; a worker leases it, and only who holds the lease brings
it to a final state, in the same transaction that names its pictures.
"""

from __future__ import annotations

import json
import math
import sqlite3
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limner.errors import BadInput, LimnerError
from limner.picture import Picture
from limner.studio import FINAL, Job
from limner.studio._jobs import (
    MINE,
    after_crash,
    cancel,
    ended,
    following,
    job_of,
    leased,
    marks,
    put_back,
    select,
)
from limner.studio._rows import insert, row_of, storable
from limner.studio.store import NotFound, Store, is_id, new_id

__all__ = ["Made", "Queue", "QueueFull"]

Jobs = list[Job]  # within Queue the word list is a method

_LATE = 20  # jobs whose time tells what is typical
_LONGEST = 60  # seconds to ask again in, at the most
_AGAIN = ("failed", "quarantined", "cancelled")


@dataclass(frozen=True, eq=False)
class Made:
    """A picture that a job painted, and the seconds it took."""

    picture: Picture
    seconds: float


class QueueFull(LimnerError):
    """As many jobs wait as may. `retry_after` is in seconds."""

    def __init__(self, most: int, retry_after: int) -> None:
        super().__init__(f"{most} jobs are waiting already: try again in {retry_after} s")
        self.retry_after = retry_after


class Queue:
    """The jobs of a store.

    most:  how many may wait
    """

    def __init__(self, store: Store, most: int = 256) -> None:
        self.store, self.most = store, most

    # ---- asking ------------------------------------------------------------------------------

    def accept(
        self,
        task: str,
        arguments: dict[str, Any],
        *,
        shape: str | None = None,
        pictures: int = 1,
        repeat: str | None = None,
    ) -> Job:
        """Puts a job at the queue's end: it is on disk when this returns.

        Args:
            task: a name in limner/tasks
            arguments: its keywords, as JSON has them
            shape: jobs of equal shape may be painted in one pass; None: this one runs alone
            pictures: how many it paints
            repeat: the asker's key; whoever says it again is given the first job

        Raises QueueFull and NoSpace; nothing is accepted then.
        """
        id, now = new_id(), time.time()
        said = json.dumps(arguments, sort_keys=True)
        with self.store.transaction() as opened:
            if repeat is not None and (known := self.repeated(repeat)):
                return known
            self._check_room(opened)
            opened.execute(
                "INSERT INTO jobs (id, task, arguments, shape, paints, state, created, repeat) "
                "VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)",
                (id, task, said, shape, pictures, now, repeat and storable(repeat)),
            )
            self.store.at("before-accept")
        self.store.at("after-accept")
        return Job(id, task, json.loads(said), "queued", now)

    def _check_room(self, opened: sqlite3.Connection) -> None:
        """Raises QueueFull."""
        waiting = opened.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
        if waiting >= self.most:
            seconds = self.typical() or 1.0
            raise QueueFull(self.most, min(max(1, math.ceil(seconds)), _LONGEST))

    def cancel(self, job_id: str) -> Job:
        """A waiting job is cancelled at once, a running one marked; a final one stays as it is.

        Raises NotFound."""
        self._known(job_id)
        with self.store.transaction() as opened:
            cancel(opened, job_id)
        self.store.at("after-cancel")
        return self._known(job_id)

    def retry(self, job_id: str) -> Job:
        """Puts a failed, quarantined or cancelled job back, in its old place.

        Raises NotFound, BadInput and QueueFull."""
        job = self._known(job_id)
        if job.state not in _AGAIN:
            raise BadInput(f"the job is {job.state}: retry takes one that is {', '.join(_AGAIN)}")
        with self.store.transaction() as opened:
            self._check_room(opened)
            opened.execute(
                "UPDATE jobs SET state = 'queued', cancelling = 0, lease = NULL, started = NULL, "
                "finished = NULL, crashes = 0, error = NULL, shape = NULL "
                f"WHERE id = ? AND state IN {_AGAIN}",
                (job_id,),
            )
        return self._known(job_id)

    # ---- working -----------------------------------------------------------------------------

    def lease(self, worker: str, most: int = 8) -> Jobs:
        """The oldest waiting job, now running, and others of its shape while their pictures
        together are no more than `most`. A worker's name is never another's, not even a dead one's.
        """
        with self.store.transaction() as opened:
            chosen = following(opened, most)
            for id in chosen:
                opened.execute(
                    "UPDATE jobs SET state = 'running', lease = ?, started = ? WHERE id = ?",
                    (worker, time.time(), id),
                )
        if chosen:
            self.store.at("after-lease")
        return self._jobs(f"id IN ({marks(chosen)})", chosen, "ASC")

    def finish(
        self, job_id: str, worker: str, made: Sequence[Made], result: dict[str, Any] | None = None
    ) -> bool:
        """Brings a job to its end with its pictures: all of it or nothing, and only once.

        False where the lease is not this worker's any more: nothing is kept. Raises NoSpace."""
        ids = [new_id() for _ in made]
        if not self.store.read(f"SELECT 1 FROM jobs WHERE {MINE}", (job_id, worker)):
            return False
        self.store.write_pictures({id: each.picture.bytes() for id, each in zip(ids, made)})
        self.store.at("before-row")
        try:
            done = self._finish_row(job_id, worker, list(zip(ids, made)), result)
        except BaseException:
            self.store.remove_unnamed(ids)
            raise
        if not done:
            self.store.remove_pictures(ids)
        self.store.at("after-finish")
        return done

    def _finish_row(
        self,
        job_id: str,
        worker: str,
        made: Sequence[tuple[str, Made]],
        result: dict[str, Any] | None,
    ) -> bool:
        said = None if result is None else json.dumps(result)
        with self.store.transaction() as opened:
            if not ended(opened, job_id, worker, "done", result=said):
                return False
            for place, (id, each) in enumerate(made):
                row = row_of(id, each.picture, job=job_id, place=place, seconds=each.seconds)
                insert(opened, row)
            self.store.at("after-row")
        return True

    def fail(self, job_id: str, worker: str, code: str, message: str) -> bool:
        """Ends a running job without pictures; False where the lease is not this worker's."""
        error = json.dumps({"code": code, "message": message})
        with self.store.transaction() as opened:
            done = ended(opened, job_id, worker, "failed", error=error)
        self.store.at("after-fail")
        return done

    def cancelling(self, job_id: str) -> bool:
        """Whether a running job is to stop."""
        return bool(
            self.store.read(
                "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND cancelling", (job_id,)
            )
        )

    def cancelled(self, job_id: str, worker: str) -> bool:
        """A running job has stopped; False where the lease is not this worker's."""
        with self.store.transaction() as opened:
            return ended(opened, job_id, worker, "cancelled")

    # ---- when workers and servers die --------------------------------------------------------

    def crashed(self, worker: str) -> Jobs:
        """Deals with what a dead worker ran: gives those jobs as they are now.

        Put back, or quarantined where it is not the first time. From then on each runs alone: of
        several that ran together nobody knows whose crash it was, so that none is quarantined."""
        with self.store.transaction() as opened:
            ids = leased(opened, worker)
            after_crash(opened, worker)
        self.store.at("after-crash")
        return self._jobs(f"id IN ({marks(ids)})", ids, "ASC")

    def release(self, worker: str) -> Jobs:
        """Puts back what a worker ran that was told to stop: no fault of the jobs."""
        with self.store.transaction() as opened:
            ids = leased(opened, worker)
            put_back(opened, "lease = ?", (worker,))
        return self._jobs(f"id IN ({marks(ids)})", ids, "ASC")

    def recover(self) -> None:
        """At the server's start, which holds the folder: whatever ran is put back, since no worker
        is alive, and files without a row are removed."""
        with self.store.transaction() as opened:
            put_back(opened, "TRUE", ())
        self.store.at("mid-recover")
        self.store.sweep()

    # ---- looking -----------------------------------------------------------------------------

    def get(self, id: str) -> Job | None:
        found = self._jobs("id = ?", [id]) if is_id(id) else []
        return found[0] if found else None

    def repeated(self, key: str) -> Job | None:
        """The job that was accepted under this key of the asker's."""
        found = self._jobs("repeat = ?", [storable(key)])
        return found[0] if found else None

    def list(self, state: str | None = None, limit: int = 50, before: str | None = None) -> Jobs:
        """The newest first; `before` is the last of the page before."""
        where, values = ["TRUE"], list[Any]()
        if state is not None:
            where, values = ["state = ?"], [state]
        if before is not None:
            where.append("number < (SELECT number FROM jobs WHERE id = ?)")
            values.append(before if is_id(before) else "")
        return self._jobs(" AND ".join(where), values, limit=limit)

    def counts(self) -> dict[str, int]:
        """Jobs by state; each state is there."""
        rows = self.store.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(("queued", "running", *FINAL), 0) | {row[0]: row[1] for row in rows}

    def place(self, job_id: str) -> int:
        """How many waiting jobs come before it; 0 for one that does not wait."""
        rows = self.store.read(
            "SELECT count(*) FROM jobs WHERE state = 'queued' AND number < "
            "(SELECT number FROM jobs WHERE id = ? AND state = 'queued')",
            (job_id,),
        )
        return int(rows[0][0])

    def typical(self, task: str | None = None) -> float | None:
        """Median seconds of the last jobs done, of this task or of any; None before the first."""
        which = "" if task is None else "AND task = ? "
        rows = self.store.read(
            "SELECT finished - started FROM jobs WHERE state = 'done' "
            f"{which}ORDER BY number DESC LIMIT {_LATE}",
            () if task is None else (task,),
        )
        return statistics.median(row[0] for row in rows) if rows else None

    def _known(self, id: str) -> Job:
        job = self.get(id)
        if job is None:
            raise NotFound("no such job")
        return job

    def _jobs(
        self, where: str, values: Sequence[Any], order: str = "DESC", limit: int = -1
    ) -> Jobs:
        rows = self.store.read(select(where, order), [*values, limit])
        return [job_of(row) for row in rows]
