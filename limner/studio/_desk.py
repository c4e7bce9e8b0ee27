"""Where requests meet the studio: blocking calls in threads, and requests that wait for a job."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from limner.studio import FINAL, Job
from limner.studio.problems import Problem

if TYPE_CHECKING:
    from limner.studio._keys import Keys
    from limner.studio.crew import Live
    from limner.studio.studio import Studio

__all__ = ["Desk"]

Value = TypeVar("Value")
_DECODING = 2  # uploads that are unpacked at a time: each may take 64 MB while it is


class Desk:
    """What all routes share.

    stopping: set when the server is told to stop: no job is taken any more
    stopped:  set when the painter has stopped: nobody waits any longer
    """

    def __init__(self, studio: Studio, keys: Keys) -> None:
        self.studio, self.keys = studio, keys
        self.stopping, self.stopped = asyncio.Event(), asyncio.Event()
        self._wanted: Counter[str] = Counter()  # by job, requests that wait for it
        self._decoding = asyncio.Semaphore(_DECODING)
        self._letting_go: set[asyncio.Task[None]] = set()

    async def submit(
        self,
        task: str,
        said: dict[str, Any],
        uploads: Mapping[str, list[bytes]],
        repeat: str | None = None,
    ) -> Job:
        """The accepted job. Raises Problem, and what the studio raises."""
        self.check_open()
        job = await self.unpack(self.studio.submit, task, said, dict(uploads), repeat)
        if job.task != task:
            raise Problem(409, f"this Idempotency-Key was said before, with the task {job.task}")
        return job

    def check_open(self) -> None:
        """Raises Problem where the studio is about to stop."""
        if self.stopping.is_set():
            told = "the studio is stopping: ask again in a minute"
            raise Problem(503, told, headers={"Retry-After": "30"})

    async def unpack(self, call: Callable[..., Value], *arguments: Any) -> Value:
        """A call that decodes pictures, in a thread, few at a time."""
        async with self._decoding:
            return await run_in_threadpool(call, *arguments)

    async def watch(self, job_id: str) -> AsyncGenerator[Live | Job, None]:
        """What the job does, and at last itself, final. Ends without that when the studio stops."""
        self._wanted[job_id] += 1
        stopped = asyncio.ensure_future(self.stopped.wait())
        lives = self.studio.crew.watch(job_id)
        try:
            while (live := await _next(lives, stopped)) is not None:
                yield live
                if isinstance(live, Job):
                    return
            job = await run_in_threadpool(self.studio.queue.get, job_id)
            if job is not None and job.state in FINAL:  # it ended as the studio did
                yield job
        finally:
            self._wanted[job_id] -= 1
            if self._wanted[job_id] <= 0:
                del self._wanted[job_id]
            await _ended(stopped)
            await lives.aclose()

    async def settled(self, job: Job, request: Request) -> Job:
        """The job in its final state. A client that leaves cancels it, unless others wait for it.

        Raises Problem where the studio stops before."""
        last = asyncio.ensure_future(self._last(job.id))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait([last, gone], return_when=asyncio.FIRST_COMPLETED)
            if not last.done():
                await _ended(last)
                self.let_go(job.id)
                raise Problem(499, "the client has left", code="gone")
            return last.result() or self.not_settled(job.id)
        finally:
            await _ended(gone)
            await _ended(last)

    def not_settled(self, job_id: str) -> Job:
        """Raises what a waiting request is told when the studio stops."""
        told = f"the studio stopped; the job {job_id} is kept, and painted when it is back"
        raise Problem(503, told, headers={"Retry-After": "30"})

    async def _last(self, job_id: str) -> Job | None:
        async with aclosing(self.watch(job_id)) as lives:
            async for live in lives:
                if isinstance(live, Job):
                    return live
        return None

    def let_go(self, job_id: str) -> None:
        """Cancels a job that nobody waits for any more; of a studio that stops it is kept."""
        if self._wanted[job_id] > 0 or self.stopping.is_set():
            return
        task = asyncio.ensure_future(self.cancel_quietly(job_id))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def cancel_quietly(self, job_id: str) -> None:
        job = await run_in_threadpool(self.studio.queue.get, job_id)
        if job is not None and job.state not in FINAL:
            await self.cancel(job_id)

    async def cancel(self, job_id: str) -> Job:
        """The job, cancelled or about to be."""
        return await run_in_threadpool(self.studio.crew.cancel, job_id)


async def _next(lives: AsyncGenerator[Value, None], stopped: asyncio.Future[Any]) -> Value | None:
    """What comes next; None where nothing does any more."""
    coming = asyncio.ensure_future(anext(lives, None))
    try:
        await asyncio.wait([coming, stopped], return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        await _ended(coming)


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancels it and waits until it has ended, whatever it ends with."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # asked for, so that asyncio does not complain that nobody did


async def _disconnected(request: Request) -> None:
    """Returns when the client is gone; the body has been read by then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
