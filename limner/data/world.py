"""A world as captioned pictures without end: item i is the world's picture i."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from limner.data._decode import fit
from limner.worlds import World

__all__ = ["WorldSource", "world"]

LENGTH = 1 << 40  # more than anyone will draw, and still an index that numpy's Philox can take


def world(drawn: World, size: int) -> WorldSource:
    """Pictures of a world, drawn when asked for.

    Of a picture's phrasings its index chooses one, the same every time.
    """
    return WorldSource(drawn, size)


class WorldSource:
    """A world as a source; who needs to know more than captions tell asks the world itself."""

    def __init__(self, drawn: World, size: int) -> None:
        self.size, self.world = size, drawn
        self.name = type(drawn).__module__.rpartition(".")[2]
        self.together = getattr(drawn, "twins", 1)  # pictures that belong to each other

    def __len__(self) -> int:
        return LENGTH

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        chosen = [range(LENGTH)[index] for index in indices]
        drawn = self.world.draw(chosen)
        fitted = [fit(Image.fromarray(picture), self.size) for picture in drawn.pictures]
        captions = [texts[i % len(texts)] for i, texts in zip(chosen, drawn.captions, strict=True)]
        shape = (len(chosen), self.size, self.size, 3)
        return np.array(fitted, np.uint8).reshape(shape), captions
