"""Plots of a few curves, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["INK", "PALE", "font", "plot"]

INK, PALE, GRID = "#22262b", "#7a828c", "#e4e7eb"
COLOURS = ("#2f6fb2", "#d1622b", "#3d8f5f", "#8b57a8")
_FINER = 3  # times as fine as it is shown, for smooth lines
_TICKS = 4


def font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def plot(
    title: str,
    curves: Mapping[str, Sequence[float]],
    size: tuple[int, int],
    *,
    across: Sequence[float],
    under: str,
) -> Image.Image:
    """A panel of `size` (w, h) pixels on white.

    curves:  by name, a number for each of `across`; those that are not finite are gaps
    under:   what `across` is
    """
    wide, high = (side * _FINER for side in size)
    panel = Image.new("RGB", (wide, high), "white")
    draw, unit = ImageDraw.Draw(panel), _FINER
    letters, small = font(13 * unit), font(11 * unit)
    box = (46 * unit, 30 * unit, wide - 10 * unit, high - 36 * unit)
    draw.text((box[0], 8 * unit), title, INK, letters)
    _legend(draw, list(curves), box, small)
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    low, high_ = _round(min(values, default=0.0), max(values, default=1.0))
    _axes(draw, box, (low, high_), (across[0], across[-1]), under, small)
    for colour, curve in zip(COLOURS, curves.values()):
        _curve(draw, box, across, curve, (low, high_), colour)
    return panel.resize(size, Image.Resampling.LANCZOS)


def _curve(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    across: Sequence[float],
    curve: Sequence[float],
    span: tuple[float, float],
    colour: str,
) -> None:
    left, top, right, bottom = box
    width = (across[-1] - across[0]) or 1.0
    run: list[tuple[float, float]] = []
    for x, y in [*zip(across, curve), (0.0, math.nan)]:
        if math.isfinite(y):
            share = (y - span[0]) / (span[1] - span[0])
            run.append(
                (left + (x - across[0]) / width * (right - left), bottom - share * (bottom - top))
            )
            continue
        if len(run) > 1:
            draw.line(run, colour, 2 * _FINER, joint="curve")
        for a, b in run:
            r = 2 * _FINER
            draw.ellipse((a - r, b - r, a + r, b + r), colour)
        run = []


def _axes(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    span: tuple[float, float],
    ends: tuple[float, float],
    under: str,
    letters: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    left, top, right, bottom = box
    for i in range(_TICKS + 1):
        value = span[0] + i * (span[1] - span[0]) / _TICKS
        y = bottom - i * (bottom - top) / _TICKS
        draw.line((left, y, right, y), GRID, _FINER)
        draw.text((left - 6 * _FINER, y), f"{value:.3g}", PALE, letters, anchor="rm")
    for value, x in ((ends[0], left), (ends[1], right)):
        draw.text((x, bottom + 5 * _FINER), f"{value:g}", PALE, letters, anchor="ma")
    draw.text(((left + right) / 2, bottom + 5 * _FINER), under, PALE, letters, anchor="ma")


def _legend(
    draw: ImageDraw.ImageDraw,
    names: list[str],
    box: tuple[int, int, int, int],
    letters: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """The curves' names in their colours, at the right of the title; none for a single one."""
    x: float = box[2]
    for name, colour in list(zip(names, COLOURS))[::-1] if len(names) > 1 else ():
        draw.text((x, 9 * _FINER), name, colour, letters, anchor="ra")
        x -= draw.textlength(name, letters) + 10 * _FINER


def _round(low: float, high: float) -> tuple[float, float]:
    """Ends that hold both and lie on a round step of a quarter of the span."""
    step = (high - low) / _TICKS or 0.25
    power = 10.0 ** math.floor(math.log10(step))
    for nice in (1, 2, 2.5, 5, 10, 20):
        start = math.floor(low / (nice * power)) * nice * power
        if start + _TICKS * nice * power >= high - 1e-9:
            return start, start + _TICKS * nice * power
    return low, high
