from __future__ import annotations

import pytest
import torch

from limner.errors import BadInput
from limner.judges.saturation import Saturation
from limner.judges.smooth import Smooth
from limner.judges.symmetry import Symmetry
from limner.judges.weighted import Weighted
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_is_the_sum_and_itself_a_judge(total, random_pictures):
    pictures = random_pictures(2, 6, 5)
    inner = Weighted([(Smooth(), 2.0), (Saturation(), -0.5)])
    judge = Weighted([(inner, 3.0), (Symmetry(), 1.0), (Smooth(2), 0.0)])
    each = [total(one, pictures, NOISE) for one in (Smooth(), Saturation(), Symmetry())]
    wanted = 6 * each[0] - 1.5 * each[1] + each[2]
    torch.testing.assert_close(total(judge, pictures, NOISE), wanted)
    assert len(list(judge.losses(pictures, NOISE, 0))) == 3  # the one of weight 0 is not asked


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [float("nan")], [1.0, float("inf")]])
def test_refuses_a_sum_of_nothing(weights):
    with pytest.raises(BadInput, match="not all of them 0"):
        Weighted([(Smooth(), weight) for weight in weights])
