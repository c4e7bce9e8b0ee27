"""One picture under several conditions, in one pass of the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limner.denoisers import Conditional
from limner.errors import BadInput
from limner.levels import Level

__all__ = ["together"]


def together(
    network: Conditional,
    x: Tensor,
    level: Level,
    conditions: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """x (b, c, h, w) under k conditions → k times x0 (b, c, h, w), from one batch of k·b.

    Each condition is (b, n, d), or (1, n, d) for all pictures; all of one n and d.
    """
    b, count = x.shape[0], len(conditions)
    for condition in conditions:
        fits = condition.shape[0] in (1, b) and condition.shape[1:] == conditions[0].shape[1:]
        if condition.ndim != 3 or not fits:
            shapes = ", ".join(str(tuple(c.shape)) for c in conditions)
            raise BadInput(
                f"conditions of shapes {shapes} for {b} pictures: each must be (1 or {b}, n, d) "
                "with the same n and d; encode them in one call"
            )
    states = torch.cat([condition.expand(b, -1, -1) for condition in conditions])
    return network(torch.cat([x] * count), level, states).chunk(count)
