import numpy as np
import pytest
import torch

from limner.generators.fourier import Fourier
from limner.noise import Noise

# Three channels to RGB as published with Olah et al. 2017, to two digits.
PUBLISHED = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


@pytest.mark.parametrize("size", [(16, 12), (7, 9), (1, 5), (1, 1)])
def test_inverting_leads_back(size):
    generator = Fourier(size)
    pictures = 0.02 + 0.96 * Noise(0, range(3)).uniform((3, size[1], size[0]))
    assert float((generator.render(generator.invert(pictures)) - pictures).abs().max()) < 1e-3


def test_black_and_white_stay_within_half_a_step_of_8_bits():
    generator = Fourier((8, 8))
    pictures = (Noise(0, range(2)).uniform((3, 8, 8)) > 0.5).float()
    latent = generator.invert(pictures)
    assert latent["spectrum"].isfinite().all()
    assert float((generator.render(latent) - pictures).abs().max()) < 0.51 / 255


@pytest.mark.parametrize("channel", range(3))
@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0, 2), (3, 1), (5, 6)])
def test_one_number_is_one_wave_as_strong_as_one_over_its_frequency(place, channel):
    """In numpy and by its formula; the colours' matrix is told by the published one."""
    width, height = 9, 8
    v, u = place
    generator = Fourier((width, height))
    spectrum = torch.zeros(1, 3, height, width, dtype=torch.float64)
    spectrum[0, channel, v, u] = 1
    logits = generator.render({"spectrum": spectrum}).logit()[0].numpy()
    y, x = np.mgrid[:height, :width]
    angle = 2 * np.pi * (u * x / width + v * y / height)
    wave = (np.cos(angle) + np.sin(angle)) / np.sqrt(width * height)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    falloff = 1 / np.maximum(frequency, 1 / 9)
    falloff = falloff[v, u] / np.sqrt(np.mean(falloff**2))
    matrix = PUBLISHED / np.sqrt(np.sum(PUBLISHED**2) / 3)
    strength = (logits * wave).sum((1, 2)) / np.square(wave).sum()
    np.testing.assert_allclose(logits, strength[:, None, None] * wave, atol=1e-12)
    np.testing.assert_allclose(strength / falloff, matrix[:, channel], atol=0.03)


def test_colours_vary_as_photographs_do():
    spectrum = Noise(1, range(40)).normal((3, 16, 16)).double()
    logits = Fourier((16, 16)).render({"spectrum": spectrum}).logit()
    flat = logits.movedim(1, 0).flatten(1)
    covariance = (flat @ flat.T / flat.shape[1]).numpy()
    published = PUBLISHED @ PUBLISHED.T
    np.testing.assert_allclose(covariance, published * 3 / np.trace(published), atol=0.1)


@pytest.mark.parametrize("size", [(16, 16), (40, 24)])
def test_the_start_is_faint_and_alike_at_every_size(size):
    pictures = Fourier(size).render(Fourier(size).start(Noise(2, range(30))))
    assert float(pictures.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(pictures.std()) == pytest.approx(0.025, rel=0.1)
