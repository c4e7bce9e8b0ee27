from __future__ import annotations

import pytest
import torch

from limner.errors import BadInput
from limner.judges.annealed import Annealed
from limner.judges.smooth import Smooth
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_counts_for_less_with_every_step_and_ends(total, random_pictures):
    pictures = random_pictures(2, 6, 5)
    full = total(Smooth(), pictures, NOISE)
    for step, share in ((0, 1.0), (1, 0.75), (3, 0.25)):
        torch.testing.assert_close(
            total(Annealed(Smooth(), 4), pictures, NOISE, step), share * full
        )
    for step in (4, 9):
        assert not list(Annealed(Smooth(), 4).losses(pictures, NOISE, step))


def test_refuses_no_steps():
    with pytest.raises(BadInput, match="0 steps"):
        Annealed(Smooth(), 0)
