"""What is behind the objects of a picture: the nearest of the world's own backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from limner.measures._templates import seen
from limner.worlds import _vocabulary as words
from limner.worlds._backgrounds import background

__all__ = ["Grounds", "grounds"]

# Of the world's 48 variants of each kind the eye knows so many; it tells the others by likeness.
VARIANTS = 24
# A pixel this far from a background (mean over the channels, in [0, 1]) is not of it; how much
# farther it is does not matter, so that objects do not decide.
FAR = 0.15
AROUND = 5  # pixels of RES: the neighbourhood that a place's variant is chosen by


@dataclass(frozen=True, eq=False)
class Grounds:
    """kinds: names; pictures: (kinds, variants, 3, RES, RES) in [0, 1]."""

    kinds: tuple[str, ...]
    pictures: Tensor

    def nearest(self, picture: Tensor, weight: Tensor | None = None) -> tuple[str, int]:
        """The kind, and its variant, that picture (3, RES, RES) has behind its objects.

        weight: (RES, RES), 0 where an object is known to be
        """
        away = self._away(self.pictures, picture)
        far = (away if weight is None else away * weight).sum((-1, -2))
        kind, variant = divmod(int(far.argmin()), far.shape[1])
        return self.kinds[kind], variant

    def behind(self, picture: Tensor, kind: str) -> Tensor:
        """A background of this kind that is like picture (3, RES, RES): (3, RES, RES).

        At each place it is the variant that is likest around there, for where a moon stands and
        where a tower are independent of each other, and objects are to stand out from both.
        """
        variants = self.pictures[self.kinds.index(kind)]
        away = self._away(variants, picture)
        around = functional.avg_pool2d(away[:, None], AROUND, 1, AROUND // 2)[:, 0]
        whole = away.mean((1, 2))[:, None, None]
        best = (around + whole).argmin(0)
        return variants.gather(0, best.expand(1, 3, -1, -1))[0]

    @staticmethod
    def _away(grounds: Tensor, picture: Tensor) -> Tensor:
        return (grounds - picture).abs().mean(-3).clamp(max=FAR)


def grounds(
    variants: int = VARIANTS, changed: Callable[[np.ndarray], np.ndarray] | None = None
) -> Grounds:
    """The first variants of every kind; `changed` is done to each (h, w, 3) uint8 before."""
    kinds = tuple(words.BACKGROUNDS)
    drawn = [background(kind, variant) for kind in kinds for variant in range(variants)]
    stack = np.stack([changed(each) for each in drawn] if changed else drawn)
    small = seen(torch.from_numpy(stack).permute(0, 3, 1, 2) / 255)
    return Grounds(kinds, small.unflatten(0, (len(kinds), variants)))
