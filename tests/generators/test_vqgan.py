import pytest
import torch

from limner.errors import BadInput
from limner.generators.vqgan import vqgan
from limner.noise import Noise


def nearest(model, z):
    """(b, d, h, w) → the codes' numbers (b, h, w), by every distance written out."""
    away = (z[:, None] - model.codebook[None, :, :, None, None]).square().sum(2)
    return away.argmin(1)


@pytest.mark.parametrize("kind", ["z", "logits"])
def test_it_renders_what_the_model_decodes_of_its_nearest_codes(tiny_vqgan, kind):
    generator = vqgan(tiny_vqgan, (24, 8), kind)
    pictures = Noise(1, range(2)).uniform((3, 8, 24))
    latent = generator.invert(pictures)
    z = tiny_vqgan.encode(pictures)
    low, high = tiny_vqgan.codebook.amin(0), tiny_vqgan.codebook.amax(0)
    inside = z.clamp(low[:, None, None], high[:, None, None]) if kind == "z" else z
    index = nearest(tiny_vqgan, inside)
    code = tiny_vqgan.codebook[index].permute(0, 3, 1, 2)
    said = generator.render(latent)
    torch.testing.assert_close(said, tiny_vqgan.decode(code).clamp(0, 1), atol=1e-5, rtol=1e-4)
    if kind == "logits":
        assert torch.equal(latent["logits"].argmax(1), index) and index.unique().numel() > 4


def test_the_gradient_of_z_is_that_of_its_code(tiny_vqgan):
    """van den Oord et al. 2017, section 3.2, by a decoder that is given the codes themselves."""
    generator = vqgan(tiny_vqgan)
    z = generator.start(Noise(0, range(2)))["z"]
    z = (z + 0.05 * Noise(1, range(2)).normal(z.shape[1:])).requires_grad_()
    weights = Noise(2, range(2)).normal((3, 16, 16))
    said = torch.autograd.grad((generator.render({"z": z}) * weights).sum(), z)[0]
    code = tiny_vqgan.codebook[nearest(tiny_vqgan, z)].permute(0, 3, 1, 2).requires_grad_()
    wanted = torch.autograd.grad((tiny_vqgan.decode(code).clamp(0, 1) * weights).sum(), code)[0]
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=1e-3)


def test_the_gradient_of_logits_is_that_of_the_mean_code(tiny_vqgan):
    generator = vqgan(tiny_vqgan, kind="logits")
    logits = generator.start(Noise(0, range(2)))["logits"].requires_grad_()
    weights = Noise(2, range(2)).normal((3, 16, 16))
    said = torch.autograd.grad((generator.render({"logits": logits}) * weights).sum(), logits)[0]
    code = tiny_vqgan.codebook[logits.argmax(1)].permute(0, 3, 1, 2).requires_grad_()
    slope = torch.autograd.grad((tiny_vqgan.decode(code).clamp(0, 1) * weights).sum(), code)[0]
    worth = torch.einsum("bdhw,nd->bnhw", slope, tiny_vqgan.codebook)
    chance = logits.detach().exp() / logits.detach().exp().sum(1, keepdim=True)
    wanted = chance * (worth - (chance * worth).sum(1, keepdim=True))  # the softmax's own gradient
    torch.testing.assert_close(said, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["z", "logits"])
def test_it_starts_at_codes_whose_neighbours_go_together(tiny_vqgan, kind):
    generator = vqgan(tiny_vqgan, (64, 64), kind)
    begun = generator.start(Noise(0, range(8)))[kind]
    z = begun if kind == "z" else tiny_vqgan.looked_up(begun.argmax(1))
    index = nearest(tiny_vqgan, z)
    torch.testing.assert_close(z, tiny_vqgan.codebook[index].permute(0, 3, 1, 2))
    assert index.unique().numel() > 12
    by_chance = (index.flatten().bincount(minlength=24) / index.numel()).square().sum()
    assert (index[..., 1:] == index[..., :-1]).float().mean() > 1.5 * by_chance


def test_z_stays_within_the_codebook_channel_by_channel(tiny_vqgan):
    wild = torch.linspace(-90, 90, 64).reshape(1, 4, 4, 4)
    said = vqgan(tiny_vqgan).constrain({"z": wild})["z"]
    for channel in range(4):
        codes = tiny_vqgan.codebook[:, channel]
        wanted = wild[:, channel].clamp(codes.min(), codes.max())
        assert torch.equal(said[:, channel], wanted)


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [
        ((16, 18), "z", "'tiny' needs multiples of 4"),
        ((16, 16), "codes", "kind 'codes': give z or logits"),
    ],
)
def test_what_cannot_be_is_named(tiny_vqgan, size, kind, message):
    with pytest.raises(BadInput, match=message):
        vqgan(tiny_vqgan, size, kind)
