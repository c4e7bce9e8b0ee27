import pytest
import torch
from torch.nn import functional

from limner.errors import BadInput
from limner.generators.fourier import Fourier
from limner.generators.layer import Layer
from limner.generators.pixels import Pixels
from limner.noise import Noise

PICTURES = Noise(0, range(2)).uniform((3, 6, 8))


def test_the_composite_is_colour_and_picture_as_alpha_says():
    layer = Layer(PICTURES, Fourier((8, 6)))
    latent = layer.start(Noise(1, range(2)))
    latent["alpha"] = Noise(2, range(2)).uniform((1, 6, 8))
    colour = Fourier((8, 6)).render({"spectrum": latent["colour.spectrum"]})
    alpha = latent["alpha"]
    assert torch.equal(layer.rgba(latent), torch.cat([colour, alpha], 1))
    assert torch.equal(layer.render(latent), colour * alpha + PICTURES * (1 - alpha))


def test_without_alpha_there_is_the_picture_and_with_it_the_layer():
    layer = Layer(PICTURES, Pixels((8, 6)))
    latent = layer.start(Noise(1, range(2)))
    zero, one = (latent | {"alpha": torch.full((2, 1, 6, 8), v)} for v in (0.0, 1.0))
    assert torch.equal(layer.render(zero), PICTURES)
    assert torch.equal(layer.render(one), latent["colour.pixels"])


def test_each_search_has_its_own_picture_or_all_the_same():
    each = Layer(PICTURES, Pixels((8, 6))).start(Noise(1, range(2)))
    assert torch.equal(each["picture"], PICTURES)
    shared = Layer(PICTURES[:1], Pixels((8, 6)))
    latent = shared.start(Noise(1, range(3)))
    assert torch.equal(latent["picture"], PICTURES[[0, 0, 0]])
    latent["picture"] += 1
    assert torch.equal(shared.pictures, PICTURES[:1]), "what is given is not what is held"
    for count in (1, 3):
        with pytest.raises(BadInput, match=f"2 pictures for {count} searches"):
            Layer(PICTURES, Pixels((8, 6))).start(Noise(1, range(count)))


def test_a_coarse_alpha_is_enlarged():
    layer = Layer(PICTURES, Pixels((8, 6)), (4, 3))
    latent = layer.start(Noise(1, range(2)))
    assert latent["alpha"].shape == (2, 1, 3, 4)
    expected = functional.interpolate(latent["alpha"], (6, 8), mode="bilinear")
    torch.testing.assert_close(layer.rgba(latent)[:, 3:], expected)


def test_the_start_hides_little_and_constraining_moves_alpha_and_the_base():
    layer = Layer(PICTURES, Pixels((8, 6)))
    latent = layer.start(Noise(1, range(2)))
    assert float(latent["alpha"].mean()) == pytest.approx(0.2, abs=0.02)
    wild = {name: part * 9 - 4 for name, part in latent.items()}
    tame = layer.constrain(wild)
    for name in ("alpha", "colour.pixels"):
        assert torch.equal(tame[name], wild[name].clamp(0, 1))
    assert torch.equal(tame["picture"], wild["picture"])


def test_a_layer_over_a_layer():
    over = Layer(PICTURES, Layer(PICTURES, Pixels((8, 6))))
    latent = over.start(Noise(1, range(2)))
    assert {"alpha", "colour.alpha", "colour.colour.pixels", "colour.picture"} < set(latent)
    assert set(latent) == set(over.rates) and over.rates["colour.picture"] == 0
    assert over.render(latent).shape == PICTURES.shape


@pytest.mark.parametrize("shape", [(3, 6, 8), (1, 4, 6, 8), (0, 3, 6, 8)])
def test_pictures_of_another_shape_are_named(shape):
    with pytest.raises(BadInput, match=r"expected \(b, 3, h, w\)"):
        Layer(torch.zeros(shape), Pixels((8, 6)))


def test_a_base_of_another_size_is_named():
    layer = Layer(PICTURES, Pixels((6, 8)))
    with pytest.raises(BadInput, match=r"\(2, 3, 8, 6\): expected \(b, 3, 6, 8\)"):
        layer.render(layer.start(Noise(1, range(2))))


def test_a_mask_confines_it():
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., :4] = 1
    layer = Layer(PICTURES, Pixels((8, 6)), mask=mask)
    latent = layer.start(Noise(1, range(2)))
    free = Layer(PICTURES, Pixels((8, 6))).rgba(latent)
    assert torch.equal(layer.rgba(latent)[..., :4], free[..., :4])
    assert not layer.rgba(latent)[:, 3, :, 4:].any()
    assert torch.equal(layer.render(latent)[..., 4:], PICTURES[..., 4:])


def test_alone_it_renders_itself():
    layer = Layer(PICTURES, Pixels((8, 6)))
    alone = layer.alone()
    latent = alone.start(Noise(1, range(2)))
    assert torch.equal(alone.render(latent), layer.rgba(latent))
    assert alone.rates == layer.rates
