"""Networks that no library limner keeps already has. One file each, plain torch.

A tower turns a batch of pictures or captions into one vector each, not normalised:

    picture tower   (b, 3, s, s) float, normalised by its training's mean and deviation → (b, d)
    text tower      (b, n) token ids, each caption closed by the end token              → (b, d)
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["Tower"]


class Tower(Protocol):
    def __call__(self, inputs: Tensor, /) -> Tensor: ...
