"""A network that predicts ε, v, x0 or a flow, as D(x, level, condition) → x0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.levels import PREDICTIONS, Level, timestep_of

__all__ = ["Network", "Plain"]

# Flow networks in diffusers' layout are told 1000 · t.
_FLOW_TIMESTEPS = 1000


@dataclass(frozen=True)
class Network:
    """A network of diffusers' manners as a Conditional.

    module:      module(x, timesteps, encoder_hidden_states=condition).sample, with x (b, c, h, w),
                 timesteps (b,) float32 and the result (b, c, h, w); for a function see `Plain`
    prediction:  epsilon, v_prediction, sample or flow (see limner.levels.Prediction)
    alpha_bars:  the table (T,) it was trained on; None for flow, whose timesteps are 1000 · t
    guidance:    the guidance scale that a module is told which was distilled from guidance, as
                 `guidance=`: it takes the place of asking twice; or None
    beside:      (1 or b, e, h, w), e further channels that the module is shown below x's, as they
                 are at any level: a mask, a masked latent, a small picture enlarged; or None

    Any level is welcome, whatever its family: x is rescaled to the network's own (VP or flow) level
    with the same signal-to-noise ratio, and between the table's entries the timestep is fractional.
    The network runs in the condition's type (say bfloat16), everything around it in x's.
    """

    module: Callable[..., Any]
    prediction: str
    alpha_bars: Tensor | None = None
    beside: Tensor | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise BadInput(f"no prediction is called {self.prediction!r}: choose one of {known}")
        if self.prediction != "flow" and self.alpha_bars is None:
            raise BadInput(f"a network that predicts {self.prediction} needs its table alpha_bars")

    def __call__(self, x: Tensor, level: Level, condition: Tensor) -> Tensor:
        """x (b, c, h, w) at `level`, condition (b, n, d) → x0 (b, c, h, w) of x's type."""
        if self.prediction == "epsilon" and level.alpha <= 0:
            raise BadInput(
                "a network that predicts epsilon cannot start from pure noise (alpha 0): choose a "
                "schedule without zero terminal SNR, or a v, sample or flow network"
            )
        alpha, sigma, timestep = self._own(level)
        scaled = x * ((alpha + sigma) / (level.alpha + level.sigma))
        said = self._ask(scaled, timestep, condition)
        if self.prediction == "epsilon":
            return (scaled - sigma * said) / alpha
        if self.prediction == "v_prediction":  # Salimans & Ho 2022, appendix D
            return alpha * scaled - sigma * said
        if self.prediction == "flow":
            return scaled - sigma * said
        return said

    def _own(self, level: Level) -> tuple[float, float, float]:
        """α and σ of the network's own family at the level's ratio, and its timestep."""
        if self.prediction == "flow":
            return 1 - level.time, level.time, _FLOW_TIMESTEPS * level.time
        assert self.alpha_bars is not None  # __post_init__
        length = math.hypot(level.alpha, level.sigma)
        return level.alpha / length, level.sigma / length, timestep_of(self.alpha_bars, level)

    def _ask(self, x: Tensor, timestep: float, condition: Tensor) -> Tensor:
        timesteps = torch.full((x.shape[0],), timestep, dtype=torch.float32, device=x.device)
        shown = x.to(condition.dtype)
        if self.beside is not None:
            # Guidance asks of the whole batch again and again, so its pictures repeat in turn.
            often = x.shape[0] // self.beside.shape[0]
            shown = torch.cat([shown, self.beside.to(shown).repeat(often, 1, 1, 1)], 1)
        told = {} if self.guidance is None else {"guidance": self.guidance}
        said = self.module(shown, timesteps, encoder_hidden_states=condition, **told).sample
        return said.to(x.dtype)


class _Said(NamedTuple):
    sample: Tensor


@dataclass(frozen=True)
class Plain:
    """A function (x, timesteps, condition) → prediction, in the manners that `Network` expects."""

    function: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, timesteps: Tensor, *, encoder_hidden_states: Tensor) -> _Said:
        return _Said(self.function(x, timesteps, encoder_hidden_states))
