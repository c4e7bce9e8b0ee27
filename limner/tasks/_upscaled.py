"""A picture doubled, and a cascade of doublings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from limner.denoisers.network import Network, Plain
from limner.denoisers.tiled import Tiled
from limner.levels import vp_levels
from limner.models.upscaler import MOST_AUGMENT, Upscaler
from limner.noise import Noise
from limner.samplers.ddim import ddim

__all__ = ["TILE", "Doubling", "cascade", "field"]

TILE = 512  # pixels of a side that one pass of the network makes
_BLOCK = 128  # cells of a side for which noise is drawn at once


@dataclass(frozen=True, eq=False)
class Doubling:
    """One stage: small pictures (b, 3, h, w) in [0, 1], on the model's device, of any size.

    steps:    of DDIM without noise of its own; 1 gives the mean, whatever the detail
    detail:   0 for the mean, 1 for a sample, between them for what lies between. No other way to
              give up likeness to the truth for likeness to true pictures is better than this line
              (Freirich et al. 2021, "A theory of the distortion-perception tradeoff in Wasserstein
              space", theorem 3). The mean is what the first step says, so it costs nothing
    augment:  standard deviation of the noise on the small pictures, of which the network is told:
              the more, the less it trusts their finest details (Ho et al. 2021, section 4.2)
    tile:     pixels of a side that one pass makes
    """

    model: Upscaler
    small: Tensor
    steps: int
    detail: float
    augment: float = 0.0
    tile: int = TILE
    stage: int = 0

    @property
    def count(self) -> int:
        """Steps that run: towards the mean one is enough."""
        return self.steps if self.detail > 0 else 1

    def states(self, noise: Noise) -> Iterator[Callable[[], Tensor]]:
        """After each step what makes the pictures (b, 3, 2h, 2w) that are expected by then; the
        last are those that come out. noise: of b samples."""
        shown = self._padded()
        if self.augment > 0:
            shown = shown + self.augment * self._noise(noise, 3, shown, "augment")
        denoiser = self._denoiser(shown)
        levels = vp_levels(self.model.alpha_bars, self.count)
        x, mean = self._noise(noise, 12, shown, "upscale"), None
        for state in ddim(denoiser, x * levels[0].sigma, levels, noise=noise):
            mean = state.denoised if mean is None else mean
            cells = state.denoised if state.step < self.count else state.x
            yield partial(self._picture, mean, cells, shown)

    def _padded(self) -> Tensor:
        """To what the network's sides are multiples of, by repeating the last row and column."""
        down, across = (-side % self.model.by for side in self.small.shape[-2:])
        return functional.pad(self.small, (0, across, 0, down), mode="replicate")

    def _denoiser(self, shown: Tensor) -> Tiled:
        """D of cells x (b, 12, h, w) beside what is shown (b, 3, h, w) in [0, 1]."""
        model, by = self.model, self.model.by

        def said(x: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
            return model.ask(x, timesteps, condition.flatten().expand(len(x)))

        network = Network(Plain(said), "v_prediction", model.alpha_bars, shown * 2 - 1)
        told = torch.full((1, 1, 1), self.augment / MOST_AUGMENT, device=model.device)
        tile = max(1, self.tile // 2 // by) * by
        return Tiled(network, told.to(model.dtype), tile, model.network.reach, by)

    def _noise(self, noise: Noise, channels: int, like: Tensor, purpose: str) -> Tensor:
        shape = (channels, *like.shape[-2:])
        return field(noise, shape, f"{purpose} {self.stage}").to(like.device)

    def _picture(self, mean: Tensor, cells: Tensor, shown: Tensor) -> Tensor:
        height, width = (2 * side for side in self.small.shape[-2:])
        cells = torch.lerp(mean, cells, self.detail) if self.detail < 1 else cells
        return self.model.picture(cells, shown)[:, :, :height, :width]


def cascade(
    model: Upscaler,
    small: Tensor,
    stages: int,
    noise: Noise,
    *,
    steps: int,
    detail: float,
    augment: float,
    tile: int,
) -> Iterator[Callable[[], Tensor]]:
    """Doublings one after the other, each of what the one before made; see `Doubling`.

    small:    (b, 3, h, w) in [0, 1], on the model's device
    augment:  of every stage but the first, which is shown the picture as it is
    """
    for stage in range(stages):
        laid = augment if stage else 0.0
        doubling = Doubling(model, small, steps, detail, laid, tile, stage)
        last: Callable[[], Tensor] | None = None
        for last in doubling.states(noise):
            yield last
        assert last is not None  # a stage has at least one step
        if stage + 1 < stages:
            small = last()


def field(noise: Noise, shape: tuple[int, int, int], purpose: str) -> Tensor:
    """Standard normal noise (b, c, h, w), drawn in blocks, each under the number of its place: what
    the drawing takes beside is a block's, not the picture's."""
    out = torch.empty(len(noise.samples), *shape)
    for y in range(0, shape[1], _BLOCK):
        for x in range(0, shape[2], _BLOCK):
            block = out[:, :, y : y + _BLOCK, x : x + _BLOCK]
            place = (y // _BLOCK << 32) + x // _BLOCK
            block.copy_(noise.normal(block.shape[1:], step=place, purpose=purpose))
    return out
