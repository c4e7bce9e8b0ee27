"""What a user asks for: one function a file, whose keywords are the command line's flags.

A task takes typed keywords, returns what it made, and reports through `watch`. A watcher that
raises stops the task at once; nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["Progress", "Stopped", "Watch"]


@dataclass(frozen=True)
class Progress:
    """`step` of `total` is done; `preview()` paints what the task now expects to come out."""

    step: int
    total: int
    preview: Callable[[], list[Picture]]


Watch = Callable[[Progress], None]


class Stopped(KeyboardInterrupt):
    """Ctrl-C in a task that had something to keep: its pictures, the best so far."""

    def __init__(self, pictures: list[Picture]) -> None:
        super().__init__()
        self.pictures = pictures
