"""A world as captioned pictures without end: item i is the world's picture i."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from limner.data._decode import fit
from limner.worlds import World

__all__ = ["world"]

LENGTH = 1 << 40  # more than anyone will draw, and still an index that numpy's Philox can take


def world(drawn: World, size: int) -> _Drawn:
    """Pictures of a world, drawn when asked for.

    Of a picture's phrasings its index chooses one, the same every time.
    """
    return _Drawn(drawn, size)


class _Drawn:
    def __init__(self, drawn: World, size: int) -> None:
        self.size, self._world = size, drawn

    def __len__(self) -> int:
        return LENGTH

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        chosen = [range(LENGTH)[index] for index in indices]
        drawn = self._world.draw(chosen)
        fitted = [fit(Image.fromarray(picture), self.size) for picture in drawn.pictures]
        captions = [texts[i % len(texts)] for i, texts in zip(chosen, drawn.captions, strict=True)]
        shape = (len(chosen), self.size, self.size, 3)
        return np.array(fitted, np.uint8).reshape(shape), captions
