"""Counter-based noise: one picture's noise never depends on the batch, its place in it or a pause.

Every number is a pure function of (seed, sample, step, purpose, position). The stream is Philox4x64
(Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), taken raw from numpy, which
promises that a bit generator's raw stream never changes; the step from bits to floats is done here,
because the streams of numpy's own distributions may change between its versions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput

__all__ = ["Noise"]

_WORD = 2**64


@dataclass(frozen=True)
class Noise:
    """The noise of the pictures `samples` of the run `seed`; both count from 0, below 2⁶⁴. On CPU.

    `Noise(7, [3]).normal((4, 16, 16))` is row 3 of `Noise(7, range(8)).normal((4, 16, 16))`.

    seeds:  of pictures of several runs side by side, one for each in place of `seed`: then row 1 of
            `Noise(5, [0, 3], (5, 7))` is the one above
    """

    seed: int
    samples: Sequence[int]
    seeds: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        seeds = (self.seed, *(self.seeds or ()))
        if self.seeds is not None and len(self.seeds) != len(self.samples):
            raise BadInput(f"{len(self.seeds)} seeds for {len(self.samples)} samples: give as many")
        for what, value in [*(("seed", s) for s in seeds), *(("sample", s) for s in self.samples)]:
            if not 0 <= value < _WORD:
                raise BadInput(f"{what} {value}: give a whole number from 0 to 2^64-1")
        # A range or list of numpy integers compares and prints as what it holds.
        object.__setattr__(self, "samples", tuple(int(s) for s in self.samples))

    def normal(self, shape: Sequence[int], *, step: int = 0, purpose: str = "start") -> Tensor:
        """Standard normal noise (b, *shape), float32; `shape` is one picture's (c, h, w).

        Box–Muller (1958) in float64, rounded once, so that platforms whose logarithm or cosine
        differ in the last bit still agree on the float32.
        """
        count, named = math.prod(shape), _number(purpose)
        rows = np.empty((len(self.samples), count), np.float32)
        for row, seed, sample in zip(rows, self._seeds(), self.samples):
            bits = _bits(count + count % 2, [seed, named], [0, 0, step, sample])
            unit = (bits >> np.uint64(11)).astype(np.float64).reshape(2, -1) * 2.0**-53  # [0, 1)
            radius = np.sqrt(-2 * np.log1p(-unit[0]))
            angle = 2 * math.pi * unit[1]
            row[:] = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
        return torch.from_numpy(rows).reshape(len(self.samples), *shape)

    def uniform(self, shape: Sequence[int], *, step: int = 0, purpose: str = "start") -> Tensor:
        """Uniform noise (b, *shape) in [0, 1), float32, keyed like `normal`."""
        count, named = math.prod(shape), _number(purpose)
        rows = np.empty((len(self.samples), count), np.float32)
        for row, seed, sample in zip(rows, self._seeds(), self.samples):
            bits = _bits(count, [seed, named], [0, 0, step, sample])
            row[:] = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return torch.from_numpy(rows).reshape(len(self.samples), *shape)

    def _seeds(self) -> Sequence[int]:
        """Each picture's."""
        return [self.seed] * len(self.samples) if self.seeds is None else self.seeds


def _number(purpose: str) -> int:
    """64 bits of the SHA-256 of a purpose: its half of the key."""
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def _bits(count: int, key: list[int], counter: list[int]) -> np.ndarray:
    """`count` raw 64-bit words. The counter's two low words are the position's, so start at 0."""
    words = np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64))
    return words.random_raw(count)
