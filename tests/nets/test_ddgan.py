import pytest
import torch

from limner.nets.ddgan import Discriminator, Generator, Mapping, _spread
from limner.training._pixels import build_unet


def test_the_discriminator_hears_both_pictures_and_the_time():
    torch.manual_seed(0)
    net = Discriminator(3, 24, 8)  # halved to 12, 6 and 3
    assert len(net.blocks) == 3
    before, x, times = torch.randn(4, 3, 24, 24), torch.randn(4, 3, 24, 24), torch.full((4,), 0.25)
    said = net(before, x, times)
    assert said.shape == (4,)
    assert not torch.allclose(said, net(before + 1, x, times))
    assert not torch.allclose(said, net(before, x + 1, times))
    assert not torch.allclose(said, net(before, x, times + 0.5))


def test_a_batch_of_equal_pictures_is_told_from_one_of_others():
    h = torch.randn(8, 5, 3, 3, dtype=torch.float64)
    groups = h.view(4, 2, 5, 3, 3)
    wanted = groups.std(0, unbiased=False).mean((1, 2, 3))  # within rows 0, 2, 4, 6 and 1, 3, 5, 7
    torch.testing.assert_close(_spread(h)[:, 0, 0, 0], wanted.repeat(4), rtol=1e-5, atol=1e-5)
    assert float(_spread(h[:1].expand(4, -1, -1, -1)).abs().max()) < 1e-3
    assert _spread(h[:3]).shape == (3, 1, 3, 3)


def test_the_mapping_hears_where_z_points_and_not_how_far():
    torch.manual_seed(1)
    mapping, z = Mapping(6, 16, 2), torch.randn(3, 6)
    torch.testing.assert_close(mapping(z), mapping(7 * z), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(mapping(z), mapping(-z))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_generator_hears_z_and_the_time(channels):
    torch.manual_seed(2)
    net = Generator(build_unet(12, channels, channels, 8, 1, told=True), Mapping(5, 32)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    x, t, z = torch.randn(2, channels, 12, 12), torch.tensor([250.0, 1000]), torch.randn(2, 5)
    said = net(x, t, z)
    assert said.shape == x.shape and float(said.abs().max()) <= 1
    assert not torch.allclose(said, net(x, t, -z), atol=1e-3)
    assert not torch.allclose(said, net(x, t / 2, z), atol=1e-3)
