"""How two things that were found stand to each other."""

from __future__ import annotations

from limner.errors import BadInput
from limner.measures._search import Found

__all__ = ["stands"]

_NEAR = 2  # pixels of RES, a sixteenth of the picture: outlines this far apart still touch


def stands(relation: str | None, first: Found, second: Found) -> bool:
    """Whether `first relation second` is so, by their outlines' boxes; y grows downward."""
    across = second.centre[0] - first.centre[0]
    down = second.centre[1] - first.centre[1]
    beside, over = abs(across) >= abs(down), abs(down) >= abs(across)
    if relation in ("left of", "right of"):
        return beside and (across > 0) == (relation == "left of")
    if relation in ("above", "below"):
        return over and (down > 0) == (relation == "above")
    if relation == "next to":
        return beside
    touch = _gap(first, second) <= _NEAR
    if relation in ("on top of", "riding"):
        return touch and down > 0 and _stacked(first, second)
    if relation == "wearing":
        return touch and down < 0 and _stacked(first, second)
    if relation in ("holding", "eating", "using"):
        return touch and down > 0
    raise BadInput(f"no relation {relation!r}")


def _gap(first: Found, second: Found) -> int:
    """Pixels between two boxes: the wider of the gaps across and down, 0 where they overlap."""
    (l0, t0, r0, b0), (l1, t1, r1, b1) = first.box, second.box
    return max(l1 - r0, l0 - r1, t1 - b0, t0 - b1, 0)


def _stacked(first: Found, second: Found) -> bool:
    """Whether one is over the other by half the narrower one's width or more."""
    (l0, _, r0, _), (l1, _, r1, _) = first.box, second.box
    return min(r0, r1) - max(l0, l1) >= 0.5 * min(r0 - l0, r1 - l1)
