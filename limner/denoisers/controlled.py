"""A network that ControlNets steer, each at its own levels (Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["Acting", "Controlled"]

_ROUNDING = 1e-9  # of flow times that are the same

Said = Callable[..., tuple[Sequence[Tensor], Tensor]]


@dataclass(frozen=True)
class Acting:
    """One ControlNet and when it steers.

    residuals:  residuals(x, timesteps, encoder_hidden_states=condition) → what it adds to each of
                the U-Net's skips, and to its middle
    weight:     what it says is so many times added
    times:      (low, high) in flow time, 0 clean … 1 noise; it steers where low < time ≤ high
    """

    residuals: Said
    weight: float = 1.0
    times: tuple[float, float] = (0.0, 1.0)

    def at(self, level: Level) -> bool:
        """Whether it steers there."""
        low, high = (time + _ROUNDING for time in self.times)
        return self.weight != 0 and low < level.time <= high


@dataclass(frozen=True)
class Controlled:
    """A Conditional: `network` with what the controls say added in it, under every condition, so
    that both halves of guidance are steered; where none steers, the network alone.

    network:   whose module takes what is added by diffusers' names,
               down_block_additional_residuals and mid_block_additional_residual
    controls:  they see what the network sees
    """

    network: Network
    controls: tuple[Acting, ...]

    def __post_init__(self) -> None:
        if not self.controls:
            raise BadInput("nothing to steer with: give at least one control")

    def __call__(self, x: Tensor, level: Level, condition: Tensor) -> Tensor:
        """x (b, c, h, w) at `level`, condition (b, n, d) → x0 (b, c, h, w)."""
        acting = [each for each in self.controls if each.at(level)]
        if not acting:
            return self.network(x, level, condition)
        module = _Added(self.network.module, acting)
        return replace(self.network, module=module)(x, level, condition)


@dataclass(frozen=True)
class _Added:
    """A module in which the weighted sums of what the controls say are added."""

    module: Callable[..., Any]
    controls: Sequence[Acting]

    def __call__(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        encoder_hidden_states: Tensor,
        guidance: float | None = None,
    ) -> Any:
        skips: list[Tensor] = []
        middle: Tensor | None = None
        for each in self.controls:
            found, last = each.residuals(x, timesteps, encoder_hidden_states=encoder_hidden_states)
            own = [each.weight * part for part in found]
            skips = [a + b for a, b in zip(skips, own, strict=True)] if skips else own
            middle = each.weight * last if middle is None else middle + each.weight * last
        told = {} if guidance is None else {"guidance": guidance}
        return self.module(
            x,
            timesteps,
            encoder_hidden_states=encoder_hidden_states,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
            **told,
        )
