"""Training: one loop, one recipe a file.

A recipe says what is trained and what its loss is; the loop owns devices, optimisers, EMA,
checkpoints and the log. Everything random in a step is a function of (seed, step, rank), so a
resumed run needs no generator's state and repeats the uninterrupted one bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["Recipe"]


class Recipe(Protocol):
    """What the loop needs to know of a training."""

    players: Mapping[str, nn.Module]
    """What is trained: each player has an optimiser of its own and moves in this order."""

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Any:
        """The pictures of one step for one of ``ranks`` processes, a pure function; no device."""

    def learn(
        self, player: str, batch: Any, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        """Call ``backward`` on the player's loss; give back what is to be logged, scalars."""

    def preview(self, step: int, folder: Path) -> None:
        """Write pictures that show how far the training is (EMA weights are loaded)."""

    def export(self, folder: Path) -> None:
        """Write the model folder (EMA weights are loaded)."""
