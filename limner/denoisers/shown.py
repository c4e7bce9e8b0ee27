"""A network that is shown something beside x, and nothing where nothing is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["Shown"]


@dataclass(frozen=True)
class Shown:
    """A Conditional whose unconditional half sees zeros beside x: so guidance pulls towards what is
    shown, too, not only towards the words (SpaText, Avrahami et al. 2023, section 3.3).

    network:  without `beside`
    beside:   (1, e, h, w), what is shown with every other condition
    nothing:  (1, n, d), the empty or negative prompt, with which nothing is shown
    """

    network: Network
    beside: Tensor
    nothing: Tensor

    def __post_init__(self) -> None:
        if len(self.beside) != 1 or len(self.nothing) != 1 or self.network.beside is not None:
            shapes = tuple(self.beside.shape), tuple(self.nothing.shape)
            raise BadInput(
                f"beside {shapes[0]} and nothing {shapes[1]}: give (1, e, h, w) and (1, n, d), for "
                "a network that is shown nothing else"
            )

    def __call__(self, x: Tensor, level: Level, condition: Tensor) -> Tensor:
        """x (b, c, h, w) at `level`, condition (b, n, d) → x0 (b, c, h, w)."""
        untold = (condition == self.nothing.to(condition)).flatten(1).all(1)
        beside = self.beside.to(x).expand(len(x), -1, -1, -1)
        beside = torch.where(untold[:, None, None, None], torch.zeros_like(beside), beside)
        return replace(self.network, beside=beside)(x, level, condition)
