"""Captioned pictures from disk (and from worlds), for training and measuring.

`open_data("world:scenes" | FOLDER | SHARDS | FILE)` in `_open.py` finds out what it was given and
asks the member: folder, shards, idx, cifar, world. Items are numbered; the same files give the same
numbers on every machine, so that who shuffles needs to remember nothing but a seed and a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

__all__ = ["CaptionedPictures"]


class CaptionedPictures(Protocol):
    """Item i is a picture and one caption of it; a picture with three captions is three items."""

    size: int
    """Pixels of a side: pictures are brought to it and cut to their middle square."""

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        """uint8 RGB (b, size, size, 3), and b captions; BadInput names what cannot be read."""
