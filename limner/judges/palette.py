"""Few colours: each pixel should be near one of a palette's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.judges._rows import mean
from limner.noise import Noise

__all__ = ["Palette"]


@dataclass(frozen=True, eq=False)
class Palette:
    """The mean over pixels of ‖pixel − nearest colour‖².

    colours:  (k, 3) in [0, 1], RGB
    """

    colours: Tensor

    def __post_init__(self) -> None:
        if self.colours.ndim != 2 or self.colours.shape[1] != 3 or not len(self.colours):
            raise BadInput(f"colours {tuple(self.colours.shape)}: give (k, 3), at least one row")

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part. Nothing is random."""
        yield mean((pictures - self._nearest(pictures)).square().sum(1))

    @torch.no_grad()
    def _nearest(self, pictures: Tensor) -> Tensor:
        """Each pixel's nearest colour (b, 3, h, w); one colour after the other, for memory."""
        nearest = torch.zeros_like(pictures)
        least = torch.full_like(pictures[:, :1], torch.inf)
        for colour in self.colours.to(pictures)[:, :, None, None]:
            apart = (pictures - colour).square().sum(1, keepdim=True)
            nearest = torch.where(apart < least, colour, nearest)
            least = torch.minimum(least, apart)
        return nearest
