"""A share with its sample size, as every count of right answers is reported."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from limner.errors import BadInput

__all__ = ["Share", "share"]


@dataclass(frozen=True)
class Share:
    """`right` of `n`."""

    right: int
    n: int

    @property
    def value(self) -> float:
        """In [0, 1]; not a number where nothing was asked."""
        return self.right / self.n if self.n else math.nan

    @property
    def error(self) -> float:
        """The standard error of `value`: √(p(1 − p)/n)."""
        return math.sqrt(self.value * (1 - self.value) / self.n) if self.n else math.nan

    def told(self) -> dict[str, float | int]:
        """As plain JSON values."""
        return {"share": self.value, "standard_error": self.error, "right": self.right, "n": self.n}

    def __str__(self) -> str:
        return f"{self.value:6.1%} ± {self.error:.1%} ({self.right} of {self.n})"


def share(answers: Iterable[bool]) -> Share:
    """Counts answers."""
    listed = [bool(answer) for answer in answers]
    return Share(sum(listed), len(listed))


def checked(what: str, value: int, least: int, most: int) -> int:
    """The value when it is within bounds; else BadInput."""
    if not least <= value <= most:
        raise BadInput(f"{what} {value}: give a whole number from {least} to {most}")
    return value
