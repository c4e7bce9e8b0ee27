"""The steps of a schedule, and the multistep methods' second order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from limner.errors import BadInput
from limner.levels import Level

__all__ = ["extrapolated", "steps"]


def steps(levels: Sequence[Level], start: int) -> Iterator[tuple[int, Level, Level]]:
    """(number, level, next level) of each step from `start` on; refuses levels that do not fall."""
    for here, after in pairwise(levels):
        if not here.ratio > after.ratio:
            raise BadInput(f"levels must fall from noise to clean, but {here} comes before {after}")
    if not 0 <= start < len(levels):
        raise BadInput(f"start {start} with {len(levels) - 1} steps: give 0 to {len(levels) - 1}")
    for i in range(start, len(levels) - 1):
        yield i, levels[i], levels[i + 1]


def extrapolated(
    denoised: Tensor,
    previous: Tensor | None,
    levels: Sequence[Level],
    i: int,
) -> Tensor:
    """x0 (b, c, h, w) at the middle of step i, by a line in λ = ln(α/σ) through the last two.

    D + (D − D₋₁)/(2r) with r = h₋₁/h the ratio of the two steps in λ (Lu et al. 2022,
    "DPM-Solver++", algorithm 2). D itself without a previous one, and where either step is
    infinitely long: after a start at α = 0, and in the step to clean.
    """
    if previous is None or i == 0 or levels[i + 1].sigma <= 0:
        return denoised
    last, here, after = (level.log_snr for level in levels[i - 1 : i + 2])
    return denoised + (after - here) / (here - last) / 2 * (denoised - previous)
