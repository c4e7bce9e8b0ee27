"""Strokes: round pens along Bézier curves on white, after CLIPDraw (Frans et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked
from limner.generators._strokes import on_curves, painted
from limner.noise import Noise

__all__ = ["Strokes"]

_SIDE = 224  # of CLIPDraw's canvas: the unit of points and widths at every size
_MARGIN = 0.1 * _SIDE  # that points may lie beyond the picture
_WIDTHS = (1.0, 50.0)  # CLIPDraw's limits; it starts at the lower one
_STEP = 0.05 * _SIDE  # at the start, from one point of a stroke to the next, along each axis
_MOST_STROKES, _MOST_SEGMENTS = 4096, 16


class Strokes:
    """Pictures of size (width, height): `count` strokes of `segments` cubics each.

    latent: `points` (b, count, 3·segments + 1, 2) as (x, y), near the picture; `widths` (b, count)
    from 1 to 50; `colours` (b, count, 4), RGB and opacity in [0, 1]. Points and widths are in
    pixels of a picture whose shorter side is 224. The last stroke is on top.
    """

    def __init__(self, size: tuple[int, int], count: int = 64, segments: int = 2) -> None:
        if not 1 <= count <= _MOST_STROKES or not 1 <= segments <= _MOST_SEGMENTS:
            raise BadInput(
                f"{count} strokes of {segments} segments: give 1 to {_MOST_STROKES} strokes of 1 "
                f"to {_MOST_SEGMENTS}"
            )
        self.size = checked(size)
        self.count, self.segments = count, segments
        self.rates: Mapping[str, float] = {"points": 1.0, "widths": 0.1, "colours": 0.01}
        self._scale = min(size) / _SIDE

    def start(self, noise: Noise) -> Latent:
        """Short thin strokes anywhere, of any colour and opacity."""
        n = self.count
        first = noise.uniform((n, 1, 2), purpose="places") * torch.tensor(self.size) / self._scale
        steps = noise.uniform((n, 3 * self.segments, 2), purpose="steps") * 2 - 1
        widths = torch.full((len(noise.samples), n), _WIDTHS[0])
        colours = noise.uniform((n, 4), purpose="colours")
        points = torch.cat([first, _STEP * steps], 2).cumsum(2)
        return self.constrain({"points": points, "widths": widths, "colours": colours})

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]."""
        paths = on_curves(latent["points"]) * self._scale
        radii = clamp(latent["widths"], *_WIDTHS) * (self._scale / 2)
        rows = zip(paths, radii, clamp(latent["colours"]))
        return clamp(torch.stack([painted(*row, self.size) for row in rows]))

    def constrain(self, latent: Latent) -> Latent:
        """Points within a tenth of the shorter side around the picture, and the rest in range."""
        points = latent["points"]
        high = points.new_tensor(self.size) / self._scale + _MARGIN
        return {
            "points": points.clamp(min=-_MARGIN).minimum(high),
            "widths": latent["widths"].clamp(*_WIDTHS),
            "colours": latent["colours"].clamp(0, 1),
        }

    def svg(self, latent: Latent) -> list[str]:
        """Each picture as an SVG file's text: white paper, and a path for each stroke."""
        width, height = self.size
        box = " ".join(f"{side / self._scale:.3f}" for side in self.size)
        begin = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {box}">\n<rect width="100%" height="100%" fill="white"/>\n'
            '<g fill="none" stroke-linecap="round" stroke-linejoin="round">\n'
        )
        parts = (latent[name].tolist() for name in ("points", "widths", "colours"))
        return [
            begin + "\n".join(_path(*stroke) for stroke in zip(*row)) + "\n</g>\n</svg>\n"
            for row in zip(*parts)
        ]


def _path(points: list[list[float]], width: float, colour: list[float]) -> str:
    """One stroke as an SVG path."""
    first, *rest = (f"{x:.3f} {y:.3f}" for x, y in points)
    *rgb, opacity = (min(max(value, 0.0), 1.0) for value in colour)
    code = "".join(f"{round(255 * value):02x}" for value in rgb)
    width = min(max(width, _WIDTHS[0]), _WIDTHS[1])
    return (
        f'<path d="M {first} C {" ".join(rest)}" stroke="#{code}" '
        f'stroke-opacity="{opacity:.4f}" stroke-width="{width:.3f}"/>'
    )
