import pytest
import torch

from limner.nets.noised_tower import NoisedTower


def test_rows_are_their_own_and_the_level_counts():
    torch.manual_seed(0)
    tower = NoisedTower(3, 5, (8, 16), depth=2).double()
    x, times = torch.randn(4, 3, 8, 6).double(), torch.rand(4).double()
    said = tower(x, times)
    assert said.shape == (4, 5)
    torch.testing.assert_close(tower(x[2:3], times[2:3]), said[2:3])
    assert (tower(x, times.flip(0)) - said).abs().max() > 1e-3


def test_two_resolutions_of_two_blocks_and_not_more():
    tower = NoisedTower(3, 5, (8, 16), depth=2)
    seen = []
    for block in tower.blocks:
        block.register_forward_hook(lambda _, given, out: seen.append(tuple(out.shape[1:])))
    tower(torch.zeros(1, 3, 8, 8), torch.zeros(1))
    assert seen == [(8, 8, 8), (8, 8, 8), (16, 4, 4), (16, 4, 4)]


def test_the_usual_one_is_small():
    assert 2 * sum(weight.numel() for weight in NoisedTower(8, 192).parameters()) < 1_500_000


@pytest.mark.parametrize("told", [dict(widths=(12,)), dict(widths=()), dict(depth=0)])
def test_refuses_other_sizes(told):
    with pytest.raises(ValueError, match="expected"):
        NoisedTower(3, 5, **told)
