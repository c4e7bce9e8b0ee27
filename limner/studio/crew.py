"""The server's side of the process that paints: started, told, heard, replaced when it dies."""

from __future__ import annotations

import asyncio
import base64
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from limner.studio import FINAL, Job
from limner.studio._wire import LOOKED, Outgoing, incoming
from limner.studio.queue import Queue
from limner.studio.store import Store

__all__ = ["Crew", "Live"]

_BACKOFF, _LONGEST_BACKOFF = 0.2, 10.0  # seconds before a dead worker's successor, doubling
_LIVED = 60.0  # seconds: who lived so long did not die of starting
_POLLED = 2.0  # seconds between looks at the database while a job is watched


@dataclass(frozen=True)
class Live:
    """How far a running job is. preview: a JPEG; left: seconds, once there is a rate to tell by."""

    step: int
    total: int
    preview: bytes | None = None
    left: float | None = None


@dataclass
class _Running:
    began: float
    live: Live


class Crew:
    """models: what the worker may open beside limner's own; command: that starts it, to which its
    folder, name and models are added; at: see `limner.studio.store.POINTS`."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        *,
        models: Sequence[str] = (),
        at: Callable[[str], None] = lambda point: None,
        command: Sequence[str] = (sys.executable, "-m", "limner.studio.worker"),
    ) -> None:
        self.store, self.queue, self.models, self.at = store, queue, tuple(models), at
        self.command = tuple(command)
        self.ready = False
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._watchers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = set()
        self._looked: dict[str, float] = {}
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._told: Outgoing | None = None
        self._name = ""
        self._keeper: threading.Thread | None = None

    # ---- the process ---------------------------------------------------------------------------

    def start(self) -> None:
        """Returns at once; `ready` says when the worker is there."""
        self._stopping.clear()
        self._keeper = threading.Thread(target=self._keep, daemon=True, name="crew")
        self._keeper.start()

    def stop(self, within: float = 30.0) -> None:
        """The running job is finished within so many seconds, or put back."""
        self.ready = False
        self._stopping.set()
        self._say(stop=True)
        if self._keeper is None:
            return
        self._keeper.join(within)
        if self._keeper.is_alive() and self._child is not None:
            self._child.kill()
        self._keeper.join()

    def _keep(self) -> None:
        """A worker, and after it another, until the crew is stopped."""
        pause = _BACKOFF
        while not self._stopping.is_set():
            began = time.monotonic()
            self._live_with(self._spawned())
            pause = (
                _BACKOFF if time.monotonic() - began > _LIVED else min(2 * pause, _LONGEST_BACKOFF)
            )
            self._stopping.wait(pause)

    def _spawned(self) -> subprocess.Popen[bytes]:
        self._name = f"worker-{secrets.token_hex(8)}"
        more = [part for model in self.models for part in ("--model", model)]
        child = subprocess.Popen(
            [*self.command, str(self.store.folder), "--name", self._name, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is the server's to deal with
        )
        assert child.stdin is not None
        self._child, self._told = child, Outgoing(child.stdin)
        if self._stopping.is_set():  # stop() came while it was started, and had nobody to tell
            self._say(stop=True)
        return child

    def _live_with(self, child: subprocess.Popen[bytes]) -> None:
        """Hears the worker to its end, and deals with what it left."""
        assert child.stdout is not None and child.stdin is not None
        for message in incoming(child.stdout):
            self._hear(message)
        self.ready = False
        child.wait()
        with suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        self._settle()

    def _settle(self) -> None:
        """What the worker ran is put back; told to stop it is not to blame."""
        with self._lock:  # before the queue is told: a job counted as crashed is not live
            self._running.clear()
        end = self.queue.release if self._stopping.is_set() else self.queue.crashed
        pause = _BACKOFF
        while True:
            try:
                end(self._name)
                break
            except Exception as error:  # a full disk: at the next start recover() does it
                print(f"jobs of a dead worker wait: {error}", file=sys.stderr)
                if self._stopping.wait(pause):
                    break
                pause = min(2 * pause, _LONGEST_BACKOFF)
        self._publish(None)

    # ---- telling and hearing -------------------------------------------------------------------

    def wake(self) -> None:
        """A job was accepted."""
        self._say(wake=True)

    def cancel(self, job_id: str) -> Job:
        """Cancels a job, a running one within a step. Raises NotFound."""
        job = self.queue.cancel(job_id)
        if job.state not in FINAL:
            self._say(cancel=job_id)
        self._publish(job_id)
        return job

    def _say(self, **message: object) -> None:
        if self._told is not None:
            self._told.say(**message)

    def _hear(self, message: dict[str, object]) -> None:
        event, job = message.get("event"), message.get("job")
        if event == "ready":
            self.ready = not self._stopping.is_set()
        elif event == "started" and isinstance(jobs := message.get("jobs"), list):
            with self._lock:
                now = time.monotonic()
                self._running |= {each: _Running(now, Live(0, 0)) for each in jobs}
            for each in jobs:
                self._publish(each)
        elif isinstance(job, str) and event == "progress":
            self._progressed(job, message)
        elif isinstance(job, str) and event in ("finished", "failed", "cancelled"):
            with self._lock:
                self._running.pop(job, None)
                self._looked.pop(job, None)
            self._publish(job)

    def _progressed(self, job: str, message: dict[str, object]) -> None:
        step, total, preview = message.get("step"), message.get("total"), message.get("preview")
        if not (isinstance(step, int) and isinstance(total, int)):
            return
        with self._lock:
            running = self._running.setdefault(job, _Running(time.monotonic(), Live(0, 0)))
            took = time.monotonic() - running.began
            left = took / step * (total - step) if step else None
            shown = base64.b64decode(preview) if isinstance(preview, str) else running.live.preview
            running.live = Live(step, total, shown, left)
        self._publish(job)

    # ---- watching ------------------------------------------------------------------------------

    def live(self, job_id: str) -> Live | None:
        """How far a running job is; None for one that does not run. Asking brings previews."""
        with self._lock:
            running = self._running.get(job_id)
            now = time.monotonic()
            late = running is not None and self._looked.get(job_id, 0.0) < now - LOOKED / 2
            if late:
                self._looked[job_id] = now
        if late:
            self._say(look=job_id)
        return None if running is None else running.live

    async def watch(self, job_id: str) -> AsyncGenerator[Live | Job, None]:
        """A job's progress, the newest when it is asked for, and in the end the job itself, final.
        Ends at once for an id that there is not."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        watcher = (loop, changed, job_id)
        with self._lock:
            self._watchers.add(watcher)
        last: Live | None = None
        try:
            while True:
                changed.clear()
                live = self.live(job_id)
                if live is not None and live is not last and live.total:
                    last = live
                    yield live
                if live is None or not changed.is_set():
                    job = await asyncio.to_thread(self.queue.get, job_id)
                    if job is None:
                        return
                    if job.state in FINAL:
                        yield job
                        return
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _POLLED)
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def _publish(self, job_id: str | None) -> None:
        """Wakes those who watch a job, or all."""
        with self._lock:
            watchers = [each for each in self._watchers if job_id in (None, each[2])]
        for loop, changed, _ in watchers:
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(changed.set)
