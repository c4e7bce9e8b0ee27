"""Denoisers: D(x, level) → x0. Networks become one by a wrapper, and guidance is a further wrapper.

x is α·x0 + σ·n at `level` = (α, σ), (b, c, h, w), in the model's own latent scale; what comes back
is the expected x0, of the same shape, type and device.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from limner.levels import Level

__all__ = ["Conditional", "Denoiser", "Reverse"]


class Denoiser(Protocol):
    """What samplers run: everything but x and its level is already inside."""

    def __call__(self, x: Tensor, level: Level, /) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        ...


@runtime_checkable
class Reverse(Denoiser, Protocol):
    """A denoiser that also says how wide a step down is; `ddpm` asks those that can."""

    def reverse(self, x: Tensor, level: Level, after: Level, /) -> tuple[Tensor, Tensor]:
        """x (b, c, h, w) at `level` → x0, and the variance of x at `after` given x."""
        ...


class Conditional(Protocol):
    """A denoiser that is still to be told what to paint."""

    def __call__(self, x: Tensor, level: Level, condition: Tensor, /) -> Tensor:
        """x (b, c, h, w) at `level`, text states (b, n, d) → x0 (b, c, h, w)."""
        ...
