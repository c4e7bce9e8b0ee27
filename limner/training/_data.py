"""What a step learns from, as a pure function of (seed, step, rank)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from limner.data import CaptionedPictures

__all__ = ["Captioned", "drawing", "to_tensor"]

_LONG = 1 << 24  # pictures, more than a training takes


def drawing(seed: int, step: int, rank: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose of one step of one process."""
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "little")
    return np.random.Generator(np.random.Philox(key=[seed, word], counter=[0, 0, step, rank]))


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 (b, h, w, 3) → uint8 (b, 3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)


class Captioned:
    """A source in shuffled epochs. The last pictures of it (at most 5%, 2,000) are never trained
    on: previews, scale factors and validation take those.

    What a source has `together` (twins, that differ in one thing) stays so: a loss that tells the
    pictures of a step apart learns from them side by side.
    """

    def __init__(self, source: CaptionedPictures, seed: int = 0) -> None:
        self.source, self.seed, self.size = source, seed, source.size
        self.together = getattr(source, "together", 1)
        self.kept = max(1, min(2000, len(source) // 20))
        trained = max(1, len(source) - self.kept)
        self.trained = max(trained - trained % self.together, min(trained, self.together))
        self._epoch: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def _at(self, position: int) -> int:
        """The index that comes at this place of the endless sequence of shuffled epochs."""
        epoch, place = divmod(position, self.trained)
        if self.trained > _LONG:  # a world: drawn at random anyway, and too long to shuffle
            return (place + self.seed * _LONG) % self.trained
        if self._epoch[0] != epoch:
            groups = -(-self.trained // self.together)
            order = drawing(self.seed, epoch, 0, "order").permutation(groups)
            self._epoch = (epoch, order)
        group, member = divmod(place, self.together)
        return int(self._epoch[1][group]) * self.together + member

    def step(self, step: int, size: int, rank: int, ranks: int) -> tuple[np.ndarray, list[str]]:
        """This process's ``size`` pictures, uint8 (b, s, s, 3), and captions of this step."""
        first = (step * ranks + rank) * size
        return self.source.batch([self._at(first + row) for row in range(size)])

    def unseen(self, count: int) -> tuple[np.ndarray, list[str]]:
        """Pictures that ``step`` never gives (where the source has that many)."""
        last = len(self.source) - 1
        return self.source.batch([max(0, last - row % self.kept) for row in range(count)])

    def captions(self, count: int) -> Iterator[str]:
        """Captions of the first ``count`` pictures that are trained on."""
        for first in range(0, min(count, self.trained), 64):
            yield from self.source.batch(range(first, min(first + 64, count, self.trained)))[1]
