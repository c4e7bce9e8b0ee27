"""Crops of a source's pictures at their size and at half of it, as a source of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from limner.data import CaptionedPictures
from limner.training._data import drawing

__all__ = ["Crops"]

_EACH = 16  # of a picture: half of them at its size, half at half of it


class Crops:
    """Items 16·i … 16·i + 15 are crops of picture i; of two places that with more detail is taken.

    size: side of the crops in pixels; where a picture at half its size has no room for one, all are
    taken at its own.
    """

    def __init__(self, data: CaptionedPictures, size: int, seed: int = 0) -> None:
        self.data, self.size, self.seed = data, size, seed

    def __len__(self) -> int:
        return len(self.data) * _EACH

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        """uint8 (b, size, size, 3), and the captions of the pictures that they are of."""
        places = [divmod(int(index), _EACH) for index in indices]
        wanted = sorted({picture for picture, _ in places})
        pictures, captions = self.data.batch(wanted)
        row = {picture: place for place, picture in enumerate(wanted)}
        sizes = [(large, self._smaller(large)) for large in pictures]
        crops = [
            self._crop(sizes[row[picture]][number % 2], picture, number)
            for picture, number in places
        ]
        return np.stack(crops), [captions[row[picture]] for picture, _ in places]

    def _smaller(self, picture: np.ndarray) -> np.ndarray:
        half = len(picture) // 2
        if half < self.size:
            return picture
        shrunk = Image.fromarray(picture).resize((half, half), Image.Resampling.BICUBIC)
        return np.asarray(shrunk)

    def _crop(self, picture: np.ndarray, index: int, number: int) -> np.ndarray:
        rng = drawing(self.seed, index, number, "crop")
        corners = rng.integers(0, len(picture) - self.size + 1, (2, 2)).tolist()
        both = [picture[y : y + self.size, x : x + self.size] for y, x in corners]
        return max(both, key=_detail)


def _detail(crop: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    values = crop.astype(np.int16)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())
