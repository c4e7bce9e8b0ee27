"""What the studio does, in numbers that Prometheus reads (text format 0.0.4)."""

from __future__ import annotations

import bisect
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from limner.studio.studio import Studio

__all__ = ["CONTENT_TYPE", "Counted", "Metrics", "memory"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_EDGES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 900.0)  # seconds of a job
_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # of a request
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Histogram:
    """How many values are at most each edge, their number and their sum, by label."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self._edges = edges
        self._counts: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()

    def add(self, label: str, value: float) -> None:
        counts = self._counts.setdefault(label, [0] * (len(self._edges) + 1))
        counts[bisect.bisect_left(self._edges, value)] += 1
        self._sums[label] += value  # type: ignore[assignment]

    def lines(self, name: str, key: str) -> Iterator[str]:
        for label, counts in sorted(self._counts.items()):
            sum_so_far = 0
            for edge, count in zip([*self._edges, float("inf")], counts):
                sum_so_far += count
                shown = "+Inf" if edge == float("inf") else f"{edge:g}"
                yield f'{name}_bucket{{{key}="{label}",le="{shown}"}} {sum_so_far}'
            yield f'{name}_sum{{{key}="{label}"}} {self._sums[label]:.6f}'
            yield f'{name}_count{{{key}="{label}"}} {sum_so_far}'


class Metrics:
    """Counts since the server started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds = Histogram(_QUICK)
        self._jobs = Histogram(_EDGES)
        self._told = time.time()  # jobs that finished before are counted

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """route: its pattern, never the address that was asked for, of which there is no end."""
        method = method if method in _METHODS else "other"
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds.add(route, seconds)

    def text(self, studio: Studio) -> str:
        """The whole page. Asks the database: call it in a thread."""
        counts = studio.queue.counts()
        with self._lock:
            self._count_jobs(studio)
            parts = [
                _gauge("limner_jobs", "jobs by state", _labelled("state", counts)),
                _gauge("limner_queue_length", "jobs that wait", {"": counts["queued"]}),
                _gauge("limner_queue_most", "jobs that may wait", {"": studio.queue.most}),
                _gauge("limner_ready", "1 when jobs are painted", {"": int(studio.crew.ready)}),
                _gauge("limner_memory_bytes", "memory of the server", {"": memory()}),
                _head("limner_job_seconds", "seconds that jobs took, done", "histogram"),
                self._jobs.lines("limner_job_seconds", "task"),
                _head("limner_requests_total", "requests answered", "counter"),
                self._request_lines(),
                _head("limner_request_seconds", "seconds to the end of an answer", "histogram"),
                self._seconds.lines("limner_request_seconds", "route"),
            ]
            return "\n".join(line for part in parts for line in part) + "\n"

    def _request_lines(self) -> Iterator[str]:
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            yield f"limner_requests_total{{{labels}}} {count}"

    def _count_jobs(self, studio: Studio) -> None:
        """Takes in the jobs that were done since it was last called."""
        rows = studio.store.read(
            "SELECT task, finished - started, finished FROM jobs "
            "WHERE state = 'done' AND finished > ? ORDER BY finished",
            (self._told,),
        )
        for task, seconds, finished in rows:
            self._jobs.add(task, seconds)
            self._told = finished


def _head(name: str, help: str, kind: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _gauge(name: str, help: str, values: dict[str, int]) -> Iterable[str]:
    rows = [f"{name}{labels} {value}" for labels, value in values.items()]
    return [*_head(name, help, "gauge"), *rows]


def _labelled(key: str, values: dict[str, int]) -> dict[str, int]:
    return {f'{{{key}="{name}"}}': value for name, value in values.items()}


def memory(process: int | str = "self") -> int:
    """Bytes that a process holds in memory; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return _most_held() if process == "self" else 0
    import resource

    return pages * resource.getpagesize()


def _most_held() -> int:
    """The most that this process ever held, where /proc is not: kilobytes, but bytes on macOS."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class Counted:
    """Wraps an application and counts what it answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            seconds = time.perf_counter() - began
            self._metrics.request(scope["method"], route, status, seconds)
