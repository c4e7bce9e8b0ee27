import pytest
import torch

from limner.errors import BadInput
from limner.generators.prior_network import PriorNetwork
from limner.noise import Noise
from limner.picture import psnr


def fitted(generator, target, steps):
    """PSNR of one picture after some steps of Adam on its squared error."""
    latent = generator.start(Noise(0, [0]))
    searched = {k: part.requires_grad_() for k, part in latent.items() if generator.rates[k]}
    adam = torch.optim.Adam(searched.values(), lr=0.01)
    for _ in range(steps):
        adam.zero_grad()
        (generator.render(latent) - target).square().mean().backward()
        adam.step()
    return psnr(generator.render(latent).detach(), target)


def test_it_takes_to_a_picture_before_it_takes_to_noise():
    """Ulyanov et al. 2018, figure 2: the same pixels, in order and shuffled."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    disc = ((x - 12) ** 2 + (y - 18) ** 2 < 81).float()
    picture = torch.stack([disc, 0.2 + x / 64, 1 - y / 48])[None]
    order = Noise(5, [0]).uniform((1024,))[0].argsort()
    shuffled = picture.flatten(2)[:, :, order].unflatten(2, (32, 32))
    generator = PriorNetwork((32, 32))
    assert fitted(generator, picture, 80) > fitted(generator, shuffled, 80) + 8


def test_the_input_is_held_and_the_weights_are_searched():
    generator = PriorNetwork((24, 17))
    latent = generator.start(Noise(0, range(2)))
    assert generator.rates["input"] == 0 and latent["input"].shape == (2, 32, 17, 24)
    assert latent["input"].min() >= 0 and latent["input"].max() < 0.1
    assert all(rate > 0 for name, rate in generator.rates.items() if name != "input")
    assert not torch.equal(latent["out.weight"][0], latent["out.weight"][1])
    convolutions = [part[0] for part in latent.values() if part.ndim == 5]
    assert len({tuple(part.flatten()[:9].tolist()) for part in convolutions}) == len(convolutions)
    assert generator.render(latent).shape == (2, 3, 17, 24)


def test_convolutions_start_as_torch_starts_them():
    latent = PriorNetwork((64, 64)).start(Noise(0, [0]))
    for name, part in latent.items():
        if part.ndim == 5:
            torch.manual_seed(0)
            outer, inner, side, _ = part.shape[1:]
            theirs = torch.nn.Conv2d(inner, outer, side).weight
            if theirs.numel() > 5000:
                assert float(part.std()) == pytest.approx(theirs.std().item(), rel=0.05), name
            assert part.abs().max() <= (inner * side**2) ** -0.5, name


@pytest.mark.parametrize("side, scales", [(8, 1), (16, 2), (64, 4), (128, 5), (300, 5)])
def test_there_are_as_many_scales_as_leave_a_map_of_four_pixels(side, scales):
    downs = {name.split(".")[1] for name in PriorNetwork((side, 400)).rates if "down" in name}
    assert len(downs) == scales


def test_a_size_too_small_for_a_scale_is_named():
    with pytest.raises(BadInput, match="sides of 8 pixels or more"):
        PriorNetwork((64, 7))


def test_one_that_reads_a_picture_begins_with_it():
    picture = Noise(5, [0]).uniform((3, 16, 12))
    generator = PriorNetwork((12, 16), picture)
    latent = generator.start(Noise(1, range(2)))
    assert latent["input"].shape == (2, 3, 16, 12) and generator.rates["input"] == 0
    inside = picture.clamp(0.02, 0.98).expand(2, -1, -1, -1)
    torch.testing.assert_close(generator.render(latent), inside)
