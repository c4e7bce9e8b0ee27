"""What `portraits` finds, edit by edit, and its figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner.measures._share import Share, share

__all__ = ["Edited", "Figures", "Inverted", "Portraits"]


@dataclass(frozen=True)
class Edited:
    """One edit, as the classifier sees it.

    there:   the attribute that was asked for is there
    before:  it was so already before the edit, for all that the world says
    kept:    by name, whether it gives the same answer about another attribute as before
    cosine:  of who it was and who it is
    """

    method: str
    asked: str
    face: int
    there: bool
    before: bool
    kept: Mapping[str, bool]
    cosine: float


@dataclass(frozen=True)
class Figures:
    """Of several edits.

    kept:      of all answers about other attributes; its error takes them for independent
    identity:  the mean cosine, with its standard error
    """

    there: Share
    before: Share
    kept: Share
    identity: float
    identity_error: float

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {"there": self.there, "before": self.before, "kept": self.kept}
        told: dict[str, Any] = {name: each.told() for name, each in shares.items()}
        return told | {"identity": self.identity, "identity_error": self.identity_error}


@dataclass(frozen=True)
class Inverted:
    """What the generator paints of each face, nothing edited: decibels, whether each answer of the
    classifier is the same, cosines, and seconds for each that was found now."""

    psnr: tuple[float, ...]
    kept: tuple[bool, ...]
    cosines: tuple[float, ...]
    spent: tuple[float, ...]

    @property
    def seconds(self) -> float | None:
        return statistics.median(self.spent) if self.spent else None

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "psnr": statistics.fmean(self.psnr),
            "psnr_error": error(self.psnr),
            "kept": share(self.kept).told(),
            "identity": statistics.fmean(self.cosines),
            "identity_error": error(self.cosines),
            "n": len(self.psnr),
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Portraits:
    """inverted: None where another than limner edited
    spent: by method, seconds for each edit that was made now, its inversion apart: its share of
        those made together
    """

    model: str
    inverted: Inverted | None
    edits: tuple[Edited, ...]
    spent: Mapping[str, Sequence[float]]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.method for each in self.edits))

    @property
    def asked(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.asked for each in self.edits))

    def figures(self, method: str, asked: str | None = None) -> Figures:
        """Of a method's edits for one attribute, or of all."""
        some = self._of(method, asked)
        cosines = [each.cosine for each in some]
        return Figures(
            there=share(each.there for each in some),
            before=share(each.before for each in some),
            kept=share(same for each in some for same in each.kept.values()),
            identity=statistics.fmean(cosines),
            identity_error=error(cosines),
        )

    def others(self, method: str) -> dict[str, Share]:
        """By attribute, how often it was kept when another was asked for."""
        said: dict[str, list[bool]] = {}
        for each in self._of(method):
            for name, same in each.kept.items():
                said.setdefault(name, []).append(same)
        return {name: share(answers) for name, answers in said.items()}

    def seconds(self, method: str) -> float | None:
        """Of one edit, the median; None where all were kept."""
        return statistics.median(self.spent[method]) if self.spent[method] else None

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        methods = {
            method: {
                "asked": {name: self.figures(method, name).told() for name in self.asked},
                "all": self.figures(method).told(),
                "others": {name: each.told() for name, each in self.others(method).items()},
                "seconds": self.seconds(method),
            }
            for method in self.methods
        }
        edits = [
            {
                "method": each.method,
                "asked": each.asked,
                "face": each.face,
                "there": each.there,
                "before": each.before,
                "lost": [name for name, same in each.kept.items() if not same],
                "cosine": each.cosine,
            }
            for each in self.edits
        ]
        inverted = None if self.inverted is None else self.inverted.told()
        return {"model": self.model, "inverted": inverted, "methods": methods, "edits": edits}

    def _of(self, method: str, asked: str | None = None) -> list[Edited]:
        return [
            each for each in self.edits if each.method == method and asked in (None, each.asked)
        ]


def error(values: Iterable[float]) -> float:
    """The standard error of the mean; not a number of a single value."""
    listed = list(values)
    return statistics.stdev(listed) / math.sqrt(len(listed)) if len(listed) > 1 else math.nan
