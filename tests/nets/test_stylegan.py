import numpy as np
import pytest
import torch
from scipy import signal

from limner.errors import BadInput
from limner.nets._equalised import TAPS, Conv2d, Linear, upsample
from limner.nets.stylegan import Discriminator, Generator, Shape, demodulation, mixed, modulated

TINY = Shape((6, 5, 4), width=8, mapping_layers=2)


def made(kind=Generator, seed=0):
    torch.manual_seed(seed)
    return kind(TINY)


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def low_pass(x, axes=(-2, -1)):
    """Upsampled by scipy: zeros between, the taps, and the border that they add cut off."""
    for axis in axes:
        x = signal.upfirdn(np.array(TAPS) / 4, x, up=2, axis=axis)
        x = np.take(x, range(1, x.shape[axis] - 1), axis)
    return x


@pytest.mark.parametrize("up", [False, True])
def test_scaling_maps_is_scaling_each_picture_s_weights(up):
    """Equations 1 to 3, with weights made for every picture, in float64 and by scipy."""
    x, weight, style = drawn(3, 4, 5, 6), drawn(2, 4, 3, 3, seed=1), drawn(3, 4, seed=2)
    said = modulated(x, weight, style, up=up) * demodulation(weight, style)[:, :, None, None]
    for row in range(3):
        own = weight * style[row, None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        for out in range(2):
            total = 0
            for channel in range(4):
                plain, taps = x[row, channel].numpy(), own[out, channel].numpy()
                if up:
                    spread = np.zeros((9, 11))
                    spread[::2, ::2] = plain
                    wide = signal.convolve2d(spread, taps, "full")
                    filters = np.outer(TAPS, TAPS) / 16
                    total += signal.convolve2d(wide, filters, "full")[2:-2, 2:-2]
                else:
                    total += signal.correlate2d(plain, taps, "same")
            np.testing.assert_allclose(said[row, out], total, atol=1e-12)


def test_demodulation_gives_unit_variance():
    torch.manual_seed(0)
    x, weight = torch.randn(4, 64, 32, 32), torch.randn(8, 64, 3, 3) * 5
    style = 1 + 3 * torch.rand(4, 64)
    said = modulated(x, weight, style) * demodulation(weight, style)[:, :, None, None]
    inside = said[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inside.var((2, 3)), torch.ones(4, 8), atol=0.2, rtol=0)
    assert inside.var().item() == pytest.approx(1, abs=0.03)


def test_upsampling_is_scipy_s():
    x = drawn(2, 3, 5, 4)
    np.testing.assert_allclose(upsample(x), low_pass(x.numpy()), atol=1e-12)


def test_layers_begin_with_unit_variance_whatever_their_rate():
    torch.manual_seed(0)
    x = torch.randn(500, 64)
    for rate in (0.01, 1.0):
        layer = Linear(64, 64, rate=rate, bias=2.0)
        assert (layer(x) - 2).var().item() == pytest.approx(1, abs=0.1)
        assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.1)
    maps = Conv2d(16, 32, 3)(torch.randn(8, 16, 20, 20))[:, :, 1:-1, 1:-1]
    assert maps.var().item() == pytest.approx(1, abs=0.1)


def test_a_picture_is_the_sum_of_its_colours_upsampled():
    """The skips, by hand: 4 pixels' colours doubled twice, 8 pixels' once, and 16 pixels' own."""
    net = made().double()
    styles, noise = 1 + drawn(2, sum(TINY.style_widths)), drawn(2, TINY.noise)
    caught = []
    for block in net.synthesis.blocks():
        block.torgb.register_forward_hook(lambda module, given, said: caught.append(said))
    picture = net.synthesis(styles, noise)
    first, second, third = (said.detach().numpy() for said in caught)
    total = low_pass(low_pass(first) + second) + third
    np.testing.assert_allclose(picture.detach(), total, atol=1e-12)
    assert picture.shape == (2, 3, 16, 16)


def test_the_shape_counts_what_the_networks_have():
    net = made()
    affines = list(net.synthesis.affines())
    assert [affine.weight.shape[0] for _, affine in affines] == TINY.style_widths
    assert [row for row, _ in affines] == [0, 1, 1, 2, 3, 3, 4, 5] and TINY.layers == 6
    assert TINY.size == 16 and TINY.noise == 16 + 2 * 64 + 2 * 256
    assert net.synthesis.styles(torch.zeros(2, 6, 8)).eq(1).all(), "styles begin at one"


def test_noise_is_scaled_by_each_layer_s_strength():
    net, noise = made().double(), drawn(1, TINY.noise)
    styles = torch.ones(1, sum(TINY.style_widths)).double()
    still = net.synthesis(styles, torch.zeros_like(noise))
    assert torch.equal(net.synthesis(styles, noise), still), "a young network has no noise"
    last = net.synthesis.b16.conv1
    last.noise_strength.data.fill_(0.5)
    assert not torch.equal(net.synthesis(styles, noise), still)
    other = noise.clone()
    other[:, :-256] = 0
    assert torch.equal(net.synthesis(styles, noise), net.synthesis(styles, other))


def test_mixing_takes_coarse_from_one_and_fine_from_the_other():
    net = made()
    coarse, fine = (torch.randn(3, 6, 8, generator=torch.manual_seed(i)) for i in (1, 2))
    w_plus = mixed(coarse, fine, torch.tensor([0, 2, 6]))
    assert torch.equal(w_plus[0], fine[0]) and torch.equal(w_plus[2], coarse[2])
    assert torch.equal(w_plus[1, :2], coarse[1, :2]) and torch.equal(w_plus[1, 2:], fine[1, 2:])
    styles = (
        net.synthesis.styles(each).split(TINY.style_widths, 1) for each in (w_plus, coarse, fine)
    )
    rows = [row for row, _ in net.synthesis.affines()]
    for row, of_mixed, of_coarse, of_fine in zip(rows, *styles, strict=True):
        assert torch.equal(of_mixed[1], (of_coarse if row < 2 else of_fine)[1])


def test_truncation_is_a_line_from_the_mean():
    net = made()
    net.measure(torch.randn(200, 8, generator=torch.manual_seed(3)))
    w = net.mapping(torch.randn(5, 8))
    assert torch.equal(net.truncated(w, 1.0), w)
    assert torch.equal(net.truncated(w, 0.0), net.w_avg.expand(5, -1))
    wanted = net.w_avg.double() + 0.7 * (w.double() - net.w_avg.double())
    torch.testing.assert_close(net.truncated(w, 0.7).double(), wanted, atol=1e-6, rtol=1e-5)


def test_the_mean_of_w_is_measured():
    net, z = made(), torch.randn(50, 8, generator=torch.manual_seed(4))
    net.measure(z)
    w = net.mapping(z).detach().numpy()
    np.testing.assert_allclose(net.w_avg, w.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.w_std, w.std(0, ddof=1), rtol=1e-5)


def test_only_the_direction_of_z_counts():
    net, z = made(), torch.randn(4, 8, generator=torch.manual_seed(5))
    torch.testing.assert_close(net.mapping(z), net.mapping(7 * z), atol=1e-5, rtol=1e-5)


def test_the_discriminator_compares_groups_of_four():
    """The map that it adds is the deviation within a group, averaged (Karras et al. 2018)."""
    judge, caught = made(Discriminator), []
    judge.conv.register_forward_pre_hook(lambda module, given: caught.append(given[0]))
    said = judge(torch.randn(8, 3, 16, 16))
    x = caught[0].detach()
    groups = x[:, :6].reshape(4, 2, -1).double().numpy()
    wanted = np.sqrt(groups.var(0) + 1e-8).mean(1)
    np.testing.assert_allclose(x[:, 6, 0, 0], np.tile(wanted, 4), rtol=1e-4)
    assert said.shape == (8,) and (x[:, 6].flatten(1).std(1) < 1e-6).all()


@pytest.mark.parametrize("wrong", [{"channels": ()}, {"channels": (4, 0)}, {"width": 9999}])
def test_shapes_that_cannot_be_are_named(wrong):
    with pytest.raises(BadInput, match="1 to 9 channels"):
        Shape(**wrong)
