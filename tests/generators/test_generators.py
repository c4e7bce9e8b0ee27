"""What every generator promises, whoever it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from limner._rooms import find, names
from limner.errors import BadInput
from limner.noise import Noise
from limner.picture import psnr

sys.path.insert(0, str(Path(__file__).parent))
from _conditioned import conditioned
from _quantised import quantised
from _semantic import semantic
from _styled import styled

SIZE, OWN_SIZE = (16, 12), (16, 16)  # stylegan and biggan have one of their own
PALETTE = [(0.0, 0.0, 0.0), (1.0, 0.5, 0.25), (0.2, 0.9, 0.4)]


def layer(size, model):
    pictures = Noise(9, [0]).uniform((3, size[1], size[0]))
    return find("generators", "layer")(pictures, find("generators", "pixels")(size), (5, 4))


def read(size, model):
    """A network that reads a picture."""
    pictures = Noise(9, [0]).uniform((3, size[1], size[0]))
    return find("generators", "prior_network")(size, pictures)


def member(name, *args, **options):
    return lambda size, model: find("generators", name)(size, *args, **options)


def member_of_stylegan(kind):
    def make(size, model):
        # 16 pixels in place of SIZE, and the fewer layers of 8 where that is asked for
        network = styled(model.dtype, 2 if size == (8, 8) else 3)
        return find("generators", "stylegan")(network, None if size == SIZE else size, kind)

    return make


def member_of_biggan(kind):
    def make(size, model):
        network = conditioned(model.dtype, 2 if size == (8, 8) else 3)
        return find("generators", "biggan")(network, None if size == SIZE else size, kind)

    return make


def member_of_semantic(size, model):
    network = semantic(model.dtype, 8 if size == (8, 8) else 16)
    return find("generators", "diffusion_autoencoder")(network, None if size == SIZE else size)


MAKERS = {
    "diffusion_autoencoder": member_of_semantic,
    "pixels": member("pixels"),
    "fourier": member("fourier"),
    "grid": member("grid", (5, 4), "hexagon"),
    "grid with a palette": member("grid", (5, 4), "triangle", palette=PALETTE),
    "strokes": member("strokes", count=5, segments=2),
    "prior_network": member("prior_network"),
    "prior_network that reads": read,
    "layer": layer,
    "latent": lambda size, model: find("generators", "latent")(model, size),
    "vqgan": lambda size, model: find("generators", "vqgan")(quantised(model), size),
    "vqgan of logits": lambda size, model: find("generators", "vqgan")(
        quantised(model), size, "logits"
    ),
    **{f"stylegan of {kind}": member_of_stylegan(kind) for kind in ("z", "w", "w+", "styles")},
    **{f"biggan of {kind}": member_of_biggan(kind) for kind in ("sigmoid", "softmax")},
}
STYLED = [name for name in MAKERS if name.startswith(("stylegan", "biggan", "diffusion"))]
CODED = ["grid with a palette", "vqgan", "vqgan of logits"]  # forward they do not bend, they jump
# Where one row's arithmetic does not run through a kernel that is free to batch in another order.
BITWISE = set(MAKERS) - {"fourier", "latent", "vqgan", "vqgan of logits", *STYLED}
SMOOTH = [name for name in MAKERS if name not in CODED]


@pytest.fixture(params=MAKERS)
def generator(request, tiny_model):
    return MAKERS[request.param](SIZE, tiny_model)


def lively(generator, samples=range(3)):
    """A latent some way from the start: every searched part moved by as much as its own spread."""
    noise = Noise(2, samples)
    moved = {}
    for name, part in generator.start(Noise(1, samples)).items():
        drawn = noise.normal(part.shape[1:], purpose=name)
        far = max(float(part.std()), 0.1)
        moved[name] = part + (far * drawn if generator.rates[name] else 0)
    return generator.constrain(moved)


def test_every_member_is_tried_here():
    assert set(names("generators")) == {name.split()[0] for name in MAKERS}


@pytest.mark.parametrize("name", MAKERS)
def test_pictures_have_their_size_and_range(name, tiny_model):
    generator = MAKERS[name](SIZE, tiny_model)
    width, height = OWN_SIZE if name in STYLED else SIZE
    for latent in (generator.start(Noise(1, range(3))), lively(generator)):
        pictures = generator.render(latent)
        assert pictures.shape == (3, 3, height, width) and pictures.dtype == torch.float32
        assert pictures.min() >= 0 and pictures.max() <= 1
    assert float(pictures.std()) > 1e-3


def test_parts_are_batched_and_each_has_a_rate(generator):
    latent = generator.start(Noise(1, range(3)))
    assert set(latent) == set(generator.rates)
    assert all(len(part) == 3 and part.dtype == torch.float32 for part in latent.values())
    assert min(generator.rates.values()) >= 0 < max(generator.rates.values())


@pytest.mark.parametrize("name", MAKERS)
def test_a_row_alone_renders_as_in_its_batch(name, tiny_model):
    generator = MAKERS[name](SIZE, tiny_model)
    latent = lively(generator)
    together = generator.render(latent)
    for row in range(3):
        alone = generator.render({key: part[row : row + 1] for key, part in latent.items()})
        if name in BITWISE:
            assert torch.equal(alone, together[row : row + 1])
        assert psnr(alone, together[row : row + 1]) >= 60
    assert not torch.equal(together[0], together[1])


def test_a_start_alone_is_that_row_of_a_batch_bit_for_bit(generator):
    before = torch.get_rng_state()
    batch, alone = generator.start(Noise(1, range(8))), generator.start(Noise(1, [5]))
    for name, part in batch.items():
        assert torch.equal(part[5:6], alone[name]), name
    assert torch.equal(before, torch.get_rng_state()), "torch's own random numbers are not used"


@pytest.mark.parametrize("name", MAKERS)
def test_making_and_rendering_draw_nothing_at_random(name, tiny_model):
    before = torch.get_rng_state()
    generator = MAKERS[name](SIZE, tiny_model)
    latent = lively(generator, [0])
    assert torch.equal(generator.render(latent), generator.render(latent))
    assert torch.equal(before, torch.get_rng_state())


def gradients(generator, latent, weights):
    """Of Σ weights · picture, to every part with a rate; the value too."""
    searched = {k: v.clone().requires_grad_() for k, v in latent.items() if generator.rates[k]}
    total = (generator.render({**latent, **searched}) * weights).sum()
    return dict(zip(searched, torch.autograd.grad(total, list(searched.values()))))


def test_gradients_reach_every_searched_part_of_their_own_row(generator):
    latent = lively(generator)
    weights = Noise(3, range(3)).normal(generator.render(latent).shape[1:])
    weights[1] = 0
    for name, grad in gradients(generator, latent, weights).items():
        assert grad.isfinite().all(), name
        assert grad[0].abs().sum() > 0 and grad[2].abs().sum() > 0, name
        assert not grad[1].any(), f"{name} of row 1 is moved by other pictures"


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_finite_differences(name, tiny_model):
    model = tiny_model.to("cpu", torch.float64)
    size = (8, 8)
    generator = MAKERS[name](size, model)
    latent = {key: part.double() for key, part in lively(generator, [0]).items()}
    if "alpha" in latent:  # away from the bounds, beyond which a clamp is flat
        latent["alpha"] = latent["alpha"].clamp(0.1, 0.9)
    for key in ("pixels", "colours", "colour.pixels"):
        if key in latent:
            latent[key] = latent[key].clamp(0.1, 0.9)
    if "widths" in latent:
        latent["widths"] = latent["widths"] + 20
    weights = Noise(3, [0]).normal((3, *size)).double()
    for key, grad in gradients(generator, latent, weights).items():
        direction = Noise(4, [0]).normal(grad.shape[1:], purpose=key).double()
        step = 1e-6 * max(float(latent[key].abs().mean()), 0.1)
        ahead, behind = (
            (generator.render(latent | {key: latent[key] + sign * step * direction}) * weights)
            for sign in (1, -1)
        )
        slope = float((ahead - behind).sum() / (2 * step))
        said = float((grad * direction).sum())
        assert said == pytest.approx(slope, rel=1e-4, abs=1e-7), key


def test_constrain_keeps_what_may_be_and_is_done_once(generator):
    start = generator.start(Noise(1, range(2)))
    for name, part in generator.constrain(start).items():
        assert torch.equal(part, start[name]), name
    wild = {
        name: part * 1000 - 400 if generator.rates[name] else part for name, part in start.items()
    }
    once = generator.constrain(wild)
    assert set(once) == set(start)
    for name, part in generator.constrain(once).items():
        assert torch.equal(part, once[name]), name
    pictures = generator.render(once)
    assert pictures.isfinite().all() and pictures.min() >= 0 and pictures.max() <= 1


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [(0, 16), (16, 0), (-16, 16), (16, 4100), (1 << 20, 16)])
def test_sizes_that_cannot_be_are_named(name, size, tiny_model):
    if name == "prior_network that reads":
        return  # its size is its picture's
    if name == "layer":
        # Its size is its pictures'; what is given is the resolution of its alpha.
        base, pictures = find("generators", "pixels")((16, 16)), torch.zeros(1, 3, 16, 16)
        with pytest.raises(BadInput, match="resolution"):
            find("generators", "layer")(pictures, base, size)
    else:
        with pytest.raises(BadInput, match="size"):
            MAKERS[name](size, tiny_model)


@pytest.mark.parametrize("name", ["pixels", "fourier", "grid", "latent", "vqgan"])
def test_only_pictures_of_its_size_are_inverted(name, tiny_model):
    generator = MAKERS[name](SIZE, tiny_model)
    for shape in [(1, 3, 16, 12), (1, 1, 12, 16), (3, 12, 16)]:
        with pytest.raises(BadInput, match=r"expected \(b, 3, 12, 16\)"):
            generator.invert(torch.zeros(shape))
