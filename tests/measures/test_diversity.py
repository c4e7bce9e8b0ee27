from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from limner import open_clip
from limner.errors import BadInput
from limner.judges.likeness import Likeness
from limner.measures.diversity import diversity
from limner.noise import Noise


def drawn(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).random((n, 3, 40, 40), np.float32))


def test_is_the_mean_of_all_pairs_in_any_batches(clip_folder: Path) -> None:
    clip, pictures = open_clip(clip_folder), drawn(5)
    pairs = [
        next(Likeness(a[None], "perceptual", clip).losses(b[None], Noise(0, [0]), 0)).item()
        for a, b in combinations(pictures, 2)
    ]
    assert len(pairs) == 10
    for size in (5, 2, 1):
        found = diversity(pictures.split(size), clip=clip)
        assert found == pytest.approx(np.mean(pairs), rel=1e-5)


def test_is_nothing_where_all_are_one(clip_folder: Path) -> None:
    assert diversity([drawn(1).expand(4, -1, -1, -1)], clip=clip_folder) == pytest.approx(
        0, abs=1e-9
    )
    flat = 0.5 + 0.1 * (drawn(4) - 0.5)
    assert diversity([flat], clip=clip_folder) < 0.5 * diversity([drawn(4)], clip=clip_folder)


def test_refuses_one_picture(clip_folder: Path) -> None:
    with pytest.raises(BadInput, match=r"1 pictures: .* needs at least two"):
        diversity([drawn(1)], clip=clip_folder)
