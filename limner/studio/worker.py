"""The process that paints: leases jobs, one or several of one shape, and brings each to its end.

It is told by the server's lines what is new (see `_wire.py`), and tells it how far it is. A crash
of it harms nobody: what it ran is leased anew.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from limner.errors import BadInput, LimnerError
from limner.studio import Job
from limner.studio._models import Models
from limner.studio._painting import (
    Cancelled,
    Painting,
    is_out_of_memory,
    recovered,
    with_notices,
)
from limner.studio._wire import Outgoing, incoming, own_stdout
from limner.studio.forms import AT_ONCE, Form, Result, forms
from limner.studio.gallery import Gallery
from limner.studio.queue import Made, Queue
from limner.studio.store import NoSpace, Store

__all__ = ["Worker", "main"]

_POLLED = 1.0  # seconds: a line can be lost, a row cannot
_EMBEDDED = 16  # pictures between two looks at the queue
_ROOM = 1.0  # seconds until a full disk is tried again
_NICE = 5  # the server must answer while this process computes


class _Asked(NamedTuple):
    """A job that may share a pass; without a request it is painted alone."""

    job: Job
    request: Any = None  # of limner.tasks._side_by_side
    notices: Sequence[str] = ()


class Worker:
    """name:     of its leases, never another's
    told:     where the server hears of it
    models:   what `limner serve --model` was told
    at_once:  pictures in one pass at the most
    """

    def __init__(
        self,
        store: Store,
        name: str,
        told: Outgoing,
        models: Sequence[str] = (),
        at_once: int = AT_ONCE,
    ) -> None:
        self.store, self.name, self.told, self.at_once = store, name, told, at_once
        self.queue, self.gallery = Queue(store), Gallery(store)
        self.models = Models(models)
        self.forms: dict[str, Form] = forms(list(self.models.places))
        self.woken, self.stopping = threading.Event(), threading.Event()
        self.painting = Painting(told, lambda: store.at("mid-step"))

    # ---- what it is told -----------------------------------------------------------------------

    def hear(self, message: dict[str, object]) -> None:
        """One line of the server's; from its own thread."""
        if isinstance(job := message.get("cancel"), str):
            self.painting.cancel(job)
        if isinstance(job := message.get("look"), str):
            self.painting.look(job)
        if message.get("stop"):
            self.stopping.set()
        self.woken.set()

    # ---- what it does --------------------------------------------------------------------------

    def run(self) -> None:
        """Until it is told to stop."""
        self.told.say(event="ready")
        self._warm()
        idle = False
        while not self.stopping.is_set():
            self.woken.clear()
            worked = self.turn()
            if not worked:
                if not idle:
                    self.told.say(event="idle")
                self.woken.wait(_POLLED)
            idle = not worked

    def turn(self) -> bool:
        """Does what is next, if there is anything: jobs, else what the gallery's search lacks."""
        jobs = self._leased()
        if jobs:
            self._do(jobs)
        for job in jobs:  # what was said of it while it ended
            self.painting.forget(job.id)
        return bool(jobs) | bool(self._embed(len(jobs) or _EMBEDDED))

    def _warm(self) -> None:
        """Opens the model that is asked for first, before it is asked for."""
        from limner.models._open import placed

        with suppress(LimnerError):
            placed(self.models.text_to_image("embedded"))

    def _leased(self) -> list[Job]:
        try:
            return self.queue.lease(self.name, self.at_once)
        except LimnerError as error:  # a full disk, a busy database: neither lasts
            print(f"no job could be leased: {error}", file=sys.stderr)
            self.woken.wait(_ROOM)
            return []

    def _embed(self, most: int) -> int:
        """Pictures that were given an embedding, for the gallery's search."""
        try:
            return self.gallery.embed_missing(most)
        except Exception:
            traceback.print_exc()  # the search lacks them; painting goes on
            return 0

    def _do(self, jobs: list[Job]) -> None:
        """Brings each of these running jobs to its end."""
        self.told.say(event="started", jobs=[job.id for job in jobs])
        if len(jobs) == 1:
            self._alone(jobs[0])
            return
        groups = self._grouped(jobs)
        for group in groups:
            if self.stopping.is_set() and group is not groups[0]:
                return  # the server puts the rest back
            self._together(group) if len(group) > 1 else self._alone(group[0].job)

    def _grouped(self, jobs: list[Job]) -> list[list[_Asked]]:
        """Those that share a pass: the queue's shape does not say how long their texts are."""
        from limner.tasks._side_by_side import passes

        try:
            asked = [_Asked(job, *self.painting.request(job, self.models)) for job in jobs]
        except Exception:  # one of them is to blame: alone it says so
            return [[_Asked(job)] for job in jobs]
        return [[asked[i] for i in group] for group in passes([each.request for each in asked])]

    def _together(self, group: list[_Asked]) -> None:
        began = time.monotonic()
        jobs, requests = [each.job for each in group], [each.request for each in group]
        try:
            made = self.painting.together(jobs, requests, self._drop)
        except Cancelled:
            return  # all of them, each told already
        except Exception as error:
            recovered(error)
            for job in jobs:  # none may fail by another's fault
                self._alone(job)
            return
        seconds = (time.monotonic() - began) / sum(len(each.samples) for each in requests)
        for each, pictures in zip(group, made):
            if pictures is not None:
                self._finish(each.job, with_notices(Result(pictures), each.notices), seconds)

    def _alone(self, job: Job) -> None:
        began = time.monotonic()
        try:
            result = self.painting.alone(job, self.forms[job.task], self.models)
        except Cancelled:
            self._drop(job)
        except Exception as error:
            self._failed(job, error)
        else:
            seconds = (time.monotonic() - began) / max(1, len(result.pictures))
            self._finish(job, result, seconds)

    def _drop(self, job: Job) -> None:
        self._ended(job, "cancelled", lambda: self.queue.cancelled(job.id, self.name))

    def _finish(self, job: Job, result: Result, seconds: float) -> None:
        made = [Made(self.models.renamed(each), seconds) for each in result.pictures]
        self._ended(
            job, "finished", lambda: self.queue.finish(job.id, self.name, made, result.data)
        )

    def _failed(self, job: Job, error: Exception) -> None:
        code, message = _told(error)
        if code == "internal":
            traceback.print_exception(error)
        recovered(error)
        message = self.models.told(_by_parameter(message, job))
        self._ended(job, "failed", lambda: self.queue.fail(job.id, self.name, code, message))

    def _ended(self, job: Job, event: str, write: Callable[[], bool]) -> None:
        """Writes a job's end; while the disk is full, again and again: what was painted is kept."""
        while not self.stopping.is_set() or event == "finished":
            try:
                write()
                break
            except NoSpace:
                if self.stopping.is_set() or self.painting.is_cancelled(job.id):
                    return  # the server puts it back, or ends it
                time.sleep(_ROOM)
        self.painting.forget(job.id)
        self.told.say(event=event, job=job.id)


def _told(error: Exception) -> tuple[str, str]:
    """A code and a line for whoever asked; never a path or a traceback."""
    if is_out_of_memory(error):
        return "out_of_memory", "there was not enough memory: ask for fewer or smaller pictures"
    if isinstance(error, BadInput):
        return "bad_input", str(error)
    if isinstance(error, LimnerError):
        return "error", str(error)
    return "internal", f"the task broke down ({type(error).__name__}): this is a mistake in limner"


def _by_parameter(message: str, job: Job) -> str:
    """A message in which uploads are called by the parameters that they were given for."""
    for name, value in job.arguments.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.endswith(".png"):
                message = message.replace(f"uploads/{each}", name)
    return message


def main(arguments: Sequence[str] | None = None, at: Callable[[str], None] | None = None) -> None:
    """`python -m limner.studio.worker DATA --name NAME [--model MODEL …]`: the server's child.

    at:  called at named points, see `limner.studio.store.POINTS`
    """
    told = Outgoing(own_stdout())
    warnings.simplefilter("ignore")  # the libraries' are for programmers
    for number in (signal.SIGINT, signal.SIGTERM):  # the server decides
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(_NICE)
    parser = argparse.ArgumentParser(prog="limner.studio.worker")
    parser.add_argument("data")
    parser.add_argument("--name", required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="pictures in one pass")
    said = parser.parse_args(arguments)
    os.chdir(said.data)  # so that recipes say uploads/ID.png and not where this machine has it
    store = Store(said.data, at or (lambda point: None))
    worker = Worker(store, said.name, told, said.model, said.at_once)

    def listen() -> None:
        for message in incoming(sys.stdin.buffer):
            worker.hear(message)
        os._exit(0)  # the server is gone: what runs is its successor's

    threading.Thread(target=listen, daemon=True, name="listening").start()
    worker.run()
    sys.stderr.flush()
    os._exit(0)  # not by way of the listening thread, which holds stdin


if __name__ == "__main__":
    main()
