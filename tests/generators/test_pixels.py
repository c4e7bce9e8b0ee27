import pytest
import torch

from limner.generators._clamp import clamp
from limner.generators.pixels import Pixels
from limner.noise import Noise


def test_the_start_is_mid_grey_with_a_little_noise():
    pixels = Pixels((40, 30)).start(Noise(0, range(4)))["pixels"]
    assert pixels.shape == (4, 3, 30, 40)
    assert float(pixels.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(pixels.std()) == pytest.approx(0.02, rel=0.05)


def test_inverting_is_exact():
    pictures = Noise(1, range(2)).uniform((3, 5, 7))
    generator = Pixels((7, 5))
    latent = generator.invert(pictures)
    assert torch.equal(generator.render(latent), pictures)
    assert latent["pixels"].data_ptr() != pictures.data_ptr(), "a search must not change the given"


def test_the_clamp_stops_only_gradients_that_lead_further_out():
    x = torch.tensor([-0.5, -0.5, 0.3, 0.3, 1.5, 1.5, 0.0, 1.0], requires_grad=True)
    slopes = torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0, -2.0, 2.0, -2.0])
    clamped = clamp(x)
    assert torch.equal(clamped, x.clamp(0, 1))
    (grad,) = torch.autograd.grad((clamped * slopes).sum(), x)
    # Descent moves against the slope: below 0 only -2 leads back, above 1 only +2.
    assert grad.tolist() == [0, -2, 2, -2, 2, 0, 2, -2]


def test_what_left_the_range_comes_back():
    x = torch.tensor([3.0], requires_grad=True)
    for _ in range(100):
        (grad,) = torch.autograd.grad((clamp(x) - 0.25).square().sum(), x)
        x = (x - 0.1 * grad).detach().requires_grad_()
    assert x.item() == pytest.approx(0.25, abs=1e-3)
