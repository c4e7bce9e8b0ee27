"""Pictures as generators paint them: not quite in place, soft, grainy, lighter or darker.

Networks that judge faces learn on the world's pictures and then look at a generator's.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from limner.picture import resize

__all__ = ["seen"]

_TURN, _MOVE, _SCALE = math.radians(6), 0.06, 0.08  # at most; of a side from -1 to 1, and of 1
# How many are soft, and the side, as a share of its own, that these are brought to and back.
_SOFT, _SOFTEST = 0.3, 0.6
_LIGHT, _GRAIN = 0.03, 0.03  # at most: of the levels' factor and offset; standard deviation


def seen(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """(b, 3, s, s) in [0, 1] → the same, each looked at in a way of its own; half are mirrored."""
    count, side = len(pictures), pictures.shape[2]
    moved = F.grid_sample(
        pictures,
        F.affine_grid(_cameras(count, rng), list(pictures.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    soft = torch.from_numpy(rng.random(count) < _SOFT)
    least = max(1, round(side * rng.uniform(_SOFTEST, 1)))
    moved[soft] = resize(resize(moved[soft], (least, least)), (side, side))
    factor, offset = (_rows(rng.uniform(-_LIGHT, _LIGHT, (count, 3))) for _ in range(2))
    grain = _rows(np.abs(rng.uniform(-_GRAIN, _GRAIN, (count, 1))))
    noise = torch.from_numpy(rng.standard_normal(pictures.shape, np.float32))
    return (moved * (1 + factor) + offset + grain * noise).clamp(0, 1)


def _cameras(count: int, rng: np.random.Generator) -> Tensor:
    """(b, 2, 3): turned, moved, made larger or smaller, mirrored."""
    angle, scale = rng.uniform(-_TURN, _TURN, count), 1 + rng.uniform(-_SCALE, _SCALE, count)
    across, down = scale * np.cos(angle), scale * np.sin(angle)
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    move = rng.uniform(-_MOVE, _MOVE, (2, count))
    rows = [across * mirror, -down, move[0], down * mirror, across, move[1]]
    return torch.from_numpy(np.stack(rows, 1).reshape(count, 2, 3).astype(np.float32))


def _rows(values: np.ndarray) -> Tensor:
    """(b, c) → (b, c, 1, 1), float32."""
    return torch.from_numpy(values.astype(np.float32))[:, :, None, None]
