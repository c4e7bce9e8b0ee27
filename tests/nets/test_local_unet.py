"""A U-Net that sees only what is near: how far, and how much it weighs."""

import pytest
import torch

from limner.nets.local_unet import LocalUNet


def lively(**told):
    """With no weight at zero, so that all it has matters."""
    torch.manual_seed(0)
    network = LocalUNet(15, 12, **told).double()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1) if weight.ndim > 1 else None
    return network


@pytest.mark.parametrize("told", [dict(widths=(4, 6), depth=1), dict(widths=(4, 4, 4), depth=2)])
def test_nothing_beyond_its_reach_changes_what_it_says(told):
    """The gradient of one place, at every offset from the coarsest cells: zero beyond `reach`, and
    not far within it."""
    network = lively(heard=4, **told)
    side, levels = 4 * network.reach, torch.full((1, 2), 0.3, dtype=torch.float64)
    x = torch.randn(1, 15, side, side, dtype=torch.float64, requires_grad=True)
    said = network(x, levels)
    farthest = 0
    for offset in range(network.by):
        at = side // 2 + offset
        (seen,) = torch.autograd.grad(said[0, :, at, at].sum(), x, retain_graph=True)
        places = seen.abs().sum((0, 1)).nonzero()
        farthest = max(farthest, int((places - at).abs().max()))
    assert network.reach - network.by < farthest <= network.reach
    assert network.reach % network.by == 0


def test_it_is_told_two_levels_and_hears_both():
    network, x = lively(widths=(4, 4), depth=1, heard=8), torch.randn(1, 15, 4, 4).double()
    said = [network(x, torch.tensor([[a, b]])) for a, b in ((0.1, 0.2), (0.1, 0.3), (0.2, 0.2))]
    assert not torch.allclose(said[0], said[1]) and not torch.allclose(said[0], said[2])
    both = network(x.repeat(2, 1, 1, 1), torch.tensor([[0.1, 0.2], [0.1, 0.3]]))
    torch.testing.assert_close(both, torch.cat(said[:2]))


def test_it_begins_with_nothing_and_is_small():
    network = LocalUNet(15, 12)
    said = network(torch.randn(2, 15, 8, 8), torch.rand(2, 2)).detach()
    assert said.shape == (2, 12, 8, 8) and float(said.abs().max()) < 0.1  # its bias alone
    assert 0.6e6 < sum(weight.numel() for weight in network.parameters()) < 0.76e6
    with pytest.raises(ValueError, match="expected 1 to 16"):
        LocalUNet(15, 12, depth=0)
