"""StyleCLIP's latent mapper (Patashnik et al. 2021, section 5): how a text moves each w of w+."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limner.nets._equalised import GAIN, Linear, activate

__all__ = ["Mapper"]

# Rows of w+ at which the coarse layers end, and the medium ones; the rest are fine.
_CUTS = (4, 8)
_LAYERS = 4  # of each part
_FACTOR = 0.1  # of what the parts say: an edit begins near the picture
_RATE = 0.1  # of the learning rate in these layers; the published code has .01, and Ranger at .5
_EPS = 1e-8


class Mapper(nn.Module):
    """w+ (b, layers, d) → its change in deviations of w, of the same shape; each part reads and
    moves its own rows.

    Parameters are `coarse.0.weight` … `fine.3.bias`. A generator of few layers has fewer parts.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers, self.width = layers, width
        starts = (0, *_CUTS, layers)
        for name, first, end in zip(("coarse", "medium", "fine"), starts, starts[1:]):
            if first < min(end, layers):
                self.add_module(name, _Part(width))

    def forward(self, w_plus: Tensor) -> Tensor:
        rows = w_plus.tensor_split(_CUTS, 1)
        changes = [part(row) for part, row in zip(self.children(), rows)]
        return _FACTOR * torch.cat(changes, 1)


class _Part(nn.Module):
    """Each w (…, d), brought to unit mean square → its change."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for i in range(_LAYERS):
            self.add_module(str(i), Linear(width, width, gain=GAIN, rate=_RATE))

    def forward(self, w: Tensor) -> Tensor:
        x = w * (w.square().mean(-1, keepdim=True) + _EPS).rsqrt()
        for layer in self.children():
            x = activate(layer(x))
        return x
