"""Captioned pictures drawn on the fly, in any number, exactly described.

A world is a pure function from (seed, index) to a picture with its captions and everything that is
true of it, so that training needs no files, a resume needs no state, and a test can know the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Drawn", "World"]


class Drawn(Protocol):
    """A batch: ``pictures`` uint8 (b, h, w, 3) and for each picture its phrasings and its truth."""

    pictures: np.ndarray
    captions: list[list[str]]

    def truth(self, row: int) -> dict[str, Any]: ...


class World(Protocol):
    """``draw([3, 7])`` gives pictures 3 and 7 of this world, always the same ones."""

    def draw(self, indices: Sequence[int], *, annotate: bool = False) -> Drawn: ...
