"""Several prompts in one picture: AND, NOT and weights (Liu et al. 2022, §4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from limner.denoisers import Conditional
from limner.denoisers._together import together
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["Compose"]


@dataclass(frozen=True)
class Compose:
    """D = D_u + Σ w_k · (D_k − D_u), "Compositional visual generation with composable diffusion".

    network:        asked once, with a batch of (prompts + 1) · b
    conditions:     one for each prompt, (b, n, d), or (1, n, d) for all pictures
    weights:        one for each prompt: several positive ones are AND, a negative one is NOT
    unconditional:  the empty prompt, (b or 1, n, d)

    With one prompt it is classifier-free guidance of that scale.
    """

    network: Conditional
    conditions: Sequence[Tensor]
    weights: Sequence[float]
    unconditional: Tensor

    def __post_init__(self) -> None:
        if not 0 < len(self.conditions) == len(self.weights):
            raise BadInput(
                f"{len(self.conditions)} prompts with {len(self.weights)} weights: give one weight "
                "for each prompt, and at least one prompt"
            )

    def __call__(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level` → x0 (b, c, h, w)."""
        without, *each = together(self.network, x, level, [self.unconditional, *self.conditions])
        composed = without
        for weight, with_ in zip(self.weights, each):
            composed = composed + weight * (with_ - without)
        return composed
