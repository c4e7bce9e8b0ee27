import json

import pytest
import torch

from limner.errors import BadInput
from limner.models import _biggan
from limner.models.biggan import open_biggan
from limner.nets.biggan import Discriminator, Generator, Shape

TINY = Shape(2, (8, 6, 4), noise=3, width=4, attention=8)


def network():
    torch.manual_seed(0)
    generator = Generator(TINY)
    told = torch.eye(2)[torch.arange(6) % 2][:, None].expand(-1, 5, -1)
    generator.measure([generator.conditions(torch.randn(6, 5, 3), told)])
    return generator


@pytest.fixture
def folder(tmp_path):
    _biggan.write(tmp_path / "model", ["apple", "top hat"], network(), Discriminator(TINY))
    return tmp_path / "model"


def test_what_is_written_is_read(folder):
    model, generator = open_biggan(folder), network()
    assert (model.size, model.layers, model.noise) == (16, 5, 3)
    assert model.classes == ("apple", "top hat") and len(model.fingerprint) == 64
    noise, classes = torch.randn(2, 5, 3), torch.rand(2, 5, 2)
    with torch.no_grad():
        wanted = generator(generator.conditions(noise, classes))
    said = model.pictures(noise, classes)
    torch.testing.assert_close(said, wanted / 2 + 0.5)
    assert said.min() >= 0 and said.max() <= 1 and said.std() > 0
    assert model.discriminator(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1])).shape == (2,)


def test_a_discriminator_may_be_missing(folder):
    (folder / _biggan.DISCRIMINATOR).unlink()
    assert open_biggan(folder).discriminator is None


def test_weights_of_sixteen_bits_are_read_too(folder):
    from safetensors.torch import load_file, save_file

    file = folder / _biggan.GENERATOR
    whole = open_biggan(folder)
    before = whole.fingerprint
    save_file(
        {n: t.half() if t.is_floating_point() else t for n, t in load_file(file).items()}, file
    )
    half = open_biggan(folder)
    assert half.dtype == torch.float32 and half.fingerprint != before
    given = torch.randn(2, 5, 3), torch.rand(2, 5, 2)
    torch.testing.assert_close(half.pictures(*given), whole.pictures(*given), atol=0.01, rtol=0)


@pytest.mark.parametrize("dtype, apart", [(torch.float64, 1e-5), (torch.bfloat16, 0.1)])
def test_it_moves_to_another_type_as_a_copy(folder, dtype, apart):
    model = open_biggan(folder)
    other = model.to("cpu", dtype)
    assert other.dtype == dtype and model.dtype == torch.float32
    given = torch.randn(1, 5, 3), torch.rand(1, 5, 2)
    said = other.pictures(*(part.to(dtype) for part in given))
    assert said.dtype == dtype
    torch.testing.assert_close(said.float(), model.pictures(*given), atol=apart, rtol=0)
    assert model.to("cpu") is model


def test_what_cannot_be_opened_is_named(folder):
    config = json.loads((folder / "config.json").read_text())

    def said(**changes):
        (folder / "config.json").write_text(json.dumps(config | changes))

    for changes, words in (
        ({"model_type": "clip"}, "expected biggan"),
        ({"generator": None}, "says nothing of the generator"),
        ({"generator": {"channels": "no"}}, "not usable"),
        ({"generator": {**config["generator"], "width": 9}}, "not those of its config"),
        ({"generator": {**config["generator"], "channels": [0]}}, "2 to 9 channels"),
        ({"classes": ["apple"]}, "list of the 2 classes"),
    ):
        said(**changes)
        with pytest.raises(BadInput, match=words):
            open_biggan(folder)
    said()
    weights = folder / _biggan.GENERATOR
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(BadInput, match="no whole safetensors"):
        open_biggan(folder)
    weights.unlink()
    with pytest.raises(BadInput, match=r"no generator\.safetensors"):
        open_biggan(folder)
    weights.with_suffix(".pkl").write_bytes(b"x")
    with pytest.raises(BadInput, match="pickled"):
        open_biggan(folder)
