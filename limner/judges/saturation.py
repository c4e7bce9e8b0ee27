"""Colourfulness (Hasler & Süsstrunk 2003, "Measuring colourfulness in natural images")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from limner.judges._rows import mean
from limner.noise import Noise

__all__ = ["Saturation"]

_GREY = 1e-8  # added to the squares, so that a grey picture has a gradient, of zero


@dataclass(frozen=True)
class Saturation:
    """−M, M = √(var(rg) + var(yb)) + 0.3·√(mean(rg)² + mean(yb)²), with rg = R − G and
    yb = (R + G)/2 − B: the paper's M⁽³⁾, for colours in [0, 1].

    The lower the more colourful; with a negative weight it takes colour away.
    """

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        red, green, blue = pictures.unbind(1)
        opposed = (red - green, (red + green) / 2 - blue)
        means = [mean(each) for each in opposed]
        varies = [mean((e - m[:, None, None]).square()) for e, m in zip(opposed, means)]
        spread = (varies[0] + varies[1] + _GREY).sqrt()
        yield -spread - 0.3 * (means[0] ** 2 + means[1] ** 2 + _GREY).sqrt()
