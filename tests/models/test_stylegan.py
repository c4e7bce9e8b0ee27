import json

import pytest
import torch

from limner.errors import BadInput
from limner.models import _stylegan
from limner.models.stylegan import open_stylegan
from limner.nets.stylegan import Discriminator, Generator, Shape

TINY = Shape((6, 5, 4), width=8, mapping_layers=2)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    generator = Generator(TINY)
    generator.measure(torch.randn(50, 8))
    _stylegan.write(tmp_path / "model", generator, Discriminator(TINY))
    return tmp_path / "model"


def test_what_is_written_is_read(folder):
    torch.manual_seed(0)
    generator = Generator(TINY)
    model = open_stylegan(folder)
    assert (model.size, model.width, model.layers, model.noise) == (16, 8, 6, 656)
    z, noise = torch.randn(2, 8), torch.randn(2, 656)
    with torch.no_grad():
        w_plus = model.repeated(model.mapping(z))
        said = model.synthesis(w_plus, noise)
        wanted = generator(generator.repeated(generator.mapping(z)), noise)
        assert torch.equal(said, model.synthesis_from_styles(model.styles(w_plus), noise))
    torch.testing.assert_close(said, wanted / 2 + 0.5)
    assert model.w_mean.std() > 0 and len(model.fingerprint) == 64
    assert model.discriminator(torch.zeros(2, 3, 16, 16)).shape == (2,)


def test_a_discriminator_may_be_missing(folder):
    (folder / _stylegan.DISCRIMINATOR).unlink()
    assert open_stylegan(folder).discriminator is None


def test_it_moves_to_another_type_as_a_copy(folder):
    model = open_stylegan(folder)
    double = model.to("cpu", torch.float64)
    assert double.dtype == double.w_mean.dtype == torch.float64 and model.dtype == torch.float32
    z = torch.randn(1, 8)
    w = double.truncated(double.mapping(z.double()), 0.5)
    torch.testing.assert_close(w.float(), model.truncated(model.mapping(z), 0.5))
    assert model.to("cpu") is model


def test_what_cannot_be_opened_is_named(folder):
    config = json.loads((folder / "config.json").read_text())

    def said(**changes):
        (folder / "config.json").write_text(json.dumps(config | changes))

    for changes, words in (
        ({"model_type": "clip"}, "expected stylegan2"),
        ({"generator": None}, "says nothing of the generator"),
        ({"generator": {"channels": "no"}}, "not usable"),
        ({"generator": {**config["generator"], "width": 9}}, "not those of its config"),
        ({"generator": {**config["generator"], "channels": [0]}}, "1 to 9 channels"),
    ):
        said(**changes)
        with pytest.raises(BadInput, match=words):
            open_stylegan(folder)
    said()
    weights = folder / _stylegan.GENERATOR
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(BadInput, match="no whole safetensors"):
        open_stylegan(folder)
    weights.unlink()
    with pytest.raises(BadInput, match=r"no generator\.safetensors"):
        open_stylegan(folder)
    weights.with_suffix(".pkl").write_bytes(b"x")
    with pytest.raises(BadInput, match="pickled"):
        open_stylegan(folder)
