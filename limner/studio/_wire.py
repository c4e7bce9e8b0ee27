"""What server and worker tell each other: a JSON object a line, over the worker's stdin and stdout.

server → worker   {"wake": true}     a job was accepted
                  {"cancel": JOB}    stop it within a step
                  {"look": JOB}      somebody watches it: previews for the next LOOKED seconds
                  {"stop": true}     finish what runs, then exit; at the stream's end: at once
worker → server   {"event": "ready"} · {"event": "idle"}
                  {"event": "started", "jobs": [JOB, …]}
                  {"event": "progress", "job", "step", "total"[, "preview": base64 of a JPEG]}
                  {"event": "finished" | "failed" | "cancelled", "job"}

They tell what goes on; what is so, the database says.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["LOOKED", "Outgoing", "incoming", "own_stdout"]

LOOKED = 5.0  # seconds
_LONGEST = 2**20  # bytes of a line


class Outgoing:
    """Lines to a pipe, from any thread; one that nobody reads any more swallows them."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, **message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            try:
                self._pipe.write(line)
                self._pipe.flush()
            except (OSError, ValueError):  # ValueError: it is closed
                return


def incoming(pipe: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The messages until the pipe's end; a line that is none is passed over."""
    while line := pipe.readline(_LONGEST):
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            yield message


def own_stdout() -> IO[bytes]:
    """The process's stdout for the protocol alone: what else is printed goes to stderr."""
    kept = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return kept
