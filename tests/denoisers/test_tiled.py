"""Parts of a picture, put together: what one pass gives, wherever the network sees no farther."""

import pytest
import torch
from torch.nn import functional

from limner.denoisers.network import Network, Plain
from limner.denoisers.tiled import Tiled
from limner.errors import BadInput
from limner.levels import Level, alpha_bars

LEVEL, TOLD = Level(0.8, 0.6), torch.zeros(1, 1, 1)


def near(shown, timesteps, condition):
    """Sees four pixels far in cells of two: a blur of x, and of what is beside it."""
    pooled = functional.avg_pool2d(shown, 2)
    wide = functional.avg_pool2d(pooled, 3, 1, 1, count_include_pad=True)
    blurred = functional.interpolate(wide, scale_factor=2.0)
    return blurred[:, :2] * (1 + condition[0]) + blurred[:, 2:].mean(1, keepdim=True)


def whole(shape):
    beside = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    return Network(Plain(near), "v_prediction", alpha_bars("cosine"), beside)


@pytest.mark.parametrize("shape", [(40, 40), (16, 64), (26, 90), (8, 8), (2, 50)])
def test_parts_are_as_one_pass(shape):
    network = whole(shape)
    x = torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(2))
    expected = network(x, LEVEL, TOLD)
    found = Tiled(network, TOLD, tile=8, margin=4, by=2)(x, LEVEL)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    if max(shape) > 16:  # or it would not be seen that the margin is what does it
        bare = Tiled(network, TOLD, tile=8, margin=0, by=2)(x, LEVEL)
        assert float((bare - expected).abs().max()) > 0.01


def test_no_pass_is_larger_than_a_tile_and_its_margins():
    sizes = []

    def seen(shown, timesteps, condition):
        sizes.append(shown.shape[-2:])
        return shown[:, :2]

    network = Network(Plain(seen), "v_prediction", alpha_bars("cosine"))
    Tiled(network, TOLD, tile=8, margin=4, by=2)(torch.randn(1, 2, 100, 62), LEVEL)
    assert max(map(max, sizes)) == 16 and len(sizes) == 13 * 8


@pytest.mark.parametrize("wrong", [dict(tile=7), dict(margin=3), dict(tile=0)])
def test_what_does_not_fit_the_network_is_refused(wrong):
    with pytest.raises(BadInput, match="give multiples of 2"):
        Tiled(whole((8, 8)), TOLD, **dict(tile=8, margin=4, by=2) | wrong)
