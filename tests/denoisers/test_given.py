import pytest
import torch

from limner.denoisers.given import Given
from limner.errors import BadInput
from limner.levels import Level


def network(x, level, condition):
    return level.alpha * x + condition.mean((1, 2)).reshape(-1, 1, 1, 1)


def test_holds_the_condition():
    x, words = torch.ones(2, 1, 2, 2), torch.tensor([3.0, 5.0]).reshape(2, 1, 1)
    got = Given(network, words)(x, Level(0.5, 0.5))
    assert got[:, 0, 0, 0].tolist() == [3.5, 5.5]


def test_one_condition_serves_every_picture():
    got = Given(network, torch.full((1, 1, 1), 3.0))(torch.ones(4, 1, 2, 2), Level(0.5, 0.5))
    assert got.shape == (4, 1, 2, 2) and bool((got == 3.5).all())


def test_refuses_conditions_for_other_pictures():
    with pytest.raises(BadInput, match=r"\(3, 1, 1\) for 4 pictures"):
        Given(network, torch.zeros(3, 1, 1))(torch.ones(4, 1, 2, 2), Level(0.5, 0.5))
