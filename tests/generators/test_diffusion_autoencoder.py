import sys
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.generators.diffusion_autoencoder import diffusion_autoencoder
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
from _semantic import semantic


def test_z_starts_like_the_pictures_it_learned():
    model = semantic()
    model.encoder.mean.fill_(3.0)
    z = diffusion_autoencoder(model).start(Noise(0, range(2000)))["z"]
    assert abs(float(z.mean()) - 3) < 0.06 and abs(float(z.std()) - 2) < 0.06


def test_a_picture_s_z_is_the_encoder_s_and_its_noise_leads_back():
    model = semantic()
    generator = diffusion_autoencoder(model)
    pictures = generator.render(generator.start(Noise(1, range(2))))
    z = model.encoder(pictures * 2 - 1)
    torch.testing.assert_close(generator.invert(pictures)["z"], z)
    assert not generator.invert(pictures)["noise"].any()
    found = list(generator.inverting(pictures, steps=6))
    assert len(found) == 6
    *_, x = model.up(pictures * 2 - 1, z, 6)
    torch.testing.assert_close(found[-1]["noise"], x)
    assert torch.equal(found[0]["z"], found[-1]["z"])


def test_pictures_of_another_size_are_refused():
    with pytest.raises(BadInput, match=r"expected \(b, 3, 16, 16\)"):
        diffusion_autoencoder(semantic()).invert(torch.zeros(1, 3, 8, 8))
