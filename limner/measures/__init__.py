"""How good it is, in numbers: one measure a file.

A measure takes what it measures and gives a frozen dataclass of figures with their sample size, so
that each can be printed, compared and repeated. `compose` has an eye of its own; the others look
with CLIP or compare pixels, and say so. `watch(done, total)` reports progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["Paint", "Watch", "batches"]

Paint = Callable[[list[str]], "list[Picture]"]  # one picture for each prompt
Watch = Callable[[int, int], None]


def batches(start: int, stop: int, size: int) -> Iterator[Sequence[int]]:
    """range(start, stop) in pieces of at most `size`."""
    for first in range(start, stop, size):
        yield range(first, min(first + size, stop))
