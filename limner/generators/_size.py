"""Sizes of what is rendered and what is inverted, checked."""

from __future__ import annotations

from torch import Tensor

from limner.errors import BadInput

__all__ = ["checked", "fitting"]

LARGEST = 4096  # pixels of a side: every part of a search is held several times over


def checked(
    size: tuple[int, int],
    most: tuple[int, int] = (LARGEST, LARGEST),
    what: str = "size",
) -> tuple[int, int]:
    """(across, down) as it came, when each is a whole number from 1 to `most`; else BadInput."""
    whole = len(size) == 2 and all(isinstance(side, int) for side in size)
    if not whole or not all(1 <= side <= limit for side, limit in zip(size, most)):
        raise BadInput(
            f"{what} {tuple(size)}: give two whole numbers, across from 1 to {most[0]} and down "
            f"from 1 to {most[1]}"
        )
    return size


def fitting(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """The pictures, when they are (b, 3, h, w) with size (w, h); else BadInput."""
    width, height = size
    if pictures.ndim != 4 or pictures.shape[1:] != (3, height, width):
        raise BadInput(
            f"pictures {tuple(pictures.shape)}: expected (b, 3, {height}, {width}), resize them or "
            "make the generator of their size"
        )
    return pictures
