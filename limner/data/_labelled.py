"""Small pictures with the name of their class, all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from limner.data._decode import fit
from limner.errors import BadInput

__all__ = ["Labelled", "class_names"]

PHRASINGS = ("a picture of {}", "a small picture of {}", "{}")


class Labelled:
    """Captioned pictures from pictures (n, h, w, 3) uint8 and labels (n,), numbers into names.

    Caption i is "a picture of an airplane" or another phrasing, always the same for the same i.
    """

    def __init__(
        self, pictures: np.ndarray, labels: np.ndarray, names: Sequence[str], size: int, where: str
    ) -> None:
        if len(pictures) != len(labels) or not len(pictures):
            raise BadInput(f"{where}: {len(pictures)} pictures, {len(labels)} labels: not a pair")
        if int(labels.max()) >= len(names):
            raise BadInput(f"{where}: label {labels.max()}, but only {len(names)} class names")
        self.size = size
        self._pictures, self._labels, self._names = pictures, labels, names

    def __len__(self) -> int:
        return len(self._pictures)

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        chosen = [range(len(self))[index] for index in indices]
        fitted = [fit(Image.fromarray(self._pictures[index]), self.size) for index in chosen]
        shape = (len(chosen), self.size, self.size, 3)
        return np.array(fitted, np.uint8).reshape(shape), [self._caption(i) for i in chosen]

    def _caption(self, index: int) -> str:
        name = self._names[int(self._labels[index])]
        article = "an" if name[0] in "aeiou" else "a"
        return PHRASINGS[index % len(PHRASINGS)].format(f"{article} {name}")


def class_names(file: Path) -> list[str]:
    """One class a line, the first is label 0; BadInput when the file is missing or empty."""
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"cannot read {str(file)!r}: write the classes there, one a line") from None
    names = [" ".join(line.replace("_", " ").split()) for line in lines]
    names = [name for name in names if name]
    if not names:
        raise BadInput(f"{str(file)!r} is empty: write the classes there, one a line")
    return names
