"""The studio: a queue that loses nothing, a gallery one can search, an HTTP API and a page.

One process serves (API and page), a child of it paints; between them is one folder:

    DATA/studio.sqlite   jobs and pictures' rows (WAL, synchronous=FULL)
    DATA/pictures/       what was painted or brought in, PNG, written whole or not at all
    DATA/uploads/        pictures that jobs were given, decoded and encoded anew

A job is accepted when its row is on disk, and reaches exactly one of the states in FINAL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FINAL", "Job"]

FINAL = ("done", "failed", "cancelled", "quarantined")


@dataclass(frozen=True)
class Job:
    """A request as the queue keeps it; times in seconds since 1970."""

    id: str
    task: str  # a name in limner/tasks
    arguments: dict[str, Any]  # its keywords; a picture is the name of an upload
    state: str  # queued, running or one of FINAL
    created: float
    started: float | None = None
    finished: float | None = None
    crashes: int = 0  # workers that died under it: two, and it is quarantined
    error: dict[str, str] | None = None  # code and message, where it failed
    result: dict[str, Any] | None = None  # what a task gave beside pictures
    pictures: tuple[str, ...] = ()  # ids in the gallery, in the task's order
