import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.generators.latent import latent
from limner.noise import Noise


def test_it_renders_as_the_model_decodes(tiny_model):
    generator = latent(tiny_model)
    start = generator.start(Noise(0, range(2)))
    assert start["latents"].shape == (2, 4, 4, 4)
    with torch.no_grad():
        said = generator.render(start)
    assert torch.equal(said, tiny_model.decode(start["latents"]))
    assert float(said.std()) > 0.01


def test_inverting_is_encoding(tiny_model):
    pictures = Noise(1, range(2)).uniform((3, 8, 24))
    said = latent(tiny_model, (24, 8)).invert(pictures)["latents"]
    assert said.shape == (2, 4, 2, 6) and torch.equal(said, tiny_model.encode(pictures))


def test_the_start_has_the_spread_and_the_smoothness_of_real_latents(tiny_model):
    """Unit variance at every place, edges too; neighbours correlate as 1 3 3 1 with itself."""
    samples = latent(tiny_model, (32, 32)).start(Noise(2, range(300)))["latents"].numpy()
    rows = samples.reshape(-1, 8, 8)
    np.testing.assert_allclose(rows.var(0), 1, atol=0.15)
    weights = np.array([1, 3, 3, 1]) / np.sqrt(20)
    for distance, expected in enumerate(np.correlate(weights, weights, "full")[3:]):
        across = (rows[:, :, distance:] * rows[:, :, : 8 - distance]).mean()
        down = (rows[:, distance:] * rows[:, : 8 - distance]).mean()
        assert across == pytest.approx(expected, abs=0.03)
        assert down == pytest.approx(expected, abs=0.03)


def test_constraining_keeps_within_five_deviations(tiny_model):
    wild = torch.linspace(-20, 20, 64).reshape(1, 4, 4, 4)
    said = latent(tiny_model).constrain({"latents": wild})["latents"]
    np.testing.assert_array_equal(said, np.clip(wild.numpy(), -5, 5))


def test_a_size_that_the_autoencoder_has_not_is_named(tiny_model):
    with pytest.raises(BadInput, match="'tiny' needs multiples of 4"):
        latent(tiny_model, (16, 18))
