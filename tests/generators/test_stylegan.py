import sys
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.generators.stylegan import KINDS, stylegan
from limner.noise import Noise
from limner.picture import psnr

sys.path.insert(0, str(Path(__file__).parent))
from _styled import styled


@pytest.fixture(scope="module")
def model():
    return styled()


def test_all_kinds_begin_with_the_same_pictures(model):
    noise = Noise(3, range(2))
    of_w = stylegan(model, kind="w").render(stylegan(model, kind="w").start(noise))
    for kind in ("w+", "styles"):
        generator = stylegan(model, kind=kind)
        torch.testing.assert_close(generator.render(generator.start(noise)), of_w)
    whole = stylegan(model, kind="w", truncation=1.0)
    of_z = stylegan(model, kind="z")
    torch.testing.assert_close(
        of_z.render(of_z.start(noise)), whole.render(whole.start(noise)), atol=1e-5, rtol=1e-4
    )


def test_a_start_is_truncated(model):
    """w̄ + ψ·(w − w̄), written out."""
    w = model.mapping(Noise(3, range(4)).normal((8,), purpose="z"))
    for psi in (0.0, 0.4):
        said = stylegan(model, kind="w+", truncation=psi).start(Noise(3, range(4)))["w+"]
        wanted = model.w_mean + psi * (w - model.w_mean)
        torch.testing.assert_close(said, wanted[:, None].expand(-1, 6, -1))


def test_layers_of_w_plus_move_apart(model):
    generator = stylegan(model)
    start = generator.start(Noise(3, [0]))
    fine = {**start, "w+": start["w+"].clone()}
    fine["w+"][:, -1] += 3  # colours of the last layer alone
    change = generator.render(fine) - generator.render(start)
    assert change.abs().max() > 1e-3
    whole = stylegan(model, kind="styles").start(Noise(3, [0]))["styles"]
    styles = model.styles(fine["w+"])
    assert torch.equal(styles[:, :-4], whole[:, :-4]) and not torch.equal(styles, whole)


def test_noise_is_searched_where_it_is_asked_for(model):
    assert stylegan(model).rates["noise"] == 0
    generator = stylegan(model, searched_noise=True)
    latent = generator.start(Noise(3, [0]))
    latent["noise"].requires_grad_()
    slope = torch.autograd.grad(generator.render(latent).square().sum(), latent["noise"])[0]
    assert generator.rates["noise"] > 0 and slope.abs().sum() > 0


@pytest.mark.parametrize("kind", ["w", "w+", "styles"])
def test_its_own_pictures_are_found_again(model, kind):
    generator = stylegan(model, kind=kind, truncation=0.8)
    latent = generator.start(Noise(8, range(2)))
    target = generator.render({**latent, "noise": torch.zeros_like(latent["noise"])})
    found = generator.invert(target, steps=120)
    mean = generator.render(
        {**found, kind: generator._of_w(model.w_mean[None]).expand_as(found[kind])}
    )
    reached = generator.render(found)
    assert psnr(reached, target) > max(24, psnr(mean, target) + 6)


def test_a_picture_is_inverted_the_same_alone_and_with_others(model):
    generator = stylegan(model)
    pictures = Noise(5, range(2)).uniform((3, 16, 16))
    together = generator.invert(pictures, steps=10)["w+"]
    torch.testing.assert_close(
        generator.invert(pictures[1:], steps=10)["w+"], together[1:], atol=1e-3, rtol=1e-3
    )


def test_features_join_the_comparison(model):
    asked = []

    def features(pictures):
        asked.append(pictures.requires_grad)
        return [pictures.flatten(2)]

    generator = stylegan(model)
    pictures = Noise(5, [0]).uniform((3, 16, 16))
    plain = generator.invert(pictures, steps=5)["w+"]
    assert not torch.equal(generator.invert(pictures, steps=5, perceptual=features)["w+"], plain)
    assert asked == [False] + [True] * 5


def test_what_cannot_be_is_named(model):
    for call, words in (
        (lambda: stylegan(model, kind="v"), ", ".join(KINDS).replace("+", r"\+")),
        (lambda: stylegan(model, (16, 12)), "paints 16x16 pixels"),
        (lambda: stylegan(model, truncation=1.5), "truncation 1.5"),
        (lambda: stylegan(model, kind="z").invert(torch.zeros(1, 3, 16, 16)), "has no z"),
        (lambda: stylegan(model).invert(torch.zeros(1, 3, 16, 16), steps=0), "steps 0"),
        (lambda: stylegan(model).invert(torch.zeros(1, 3, 12, 16)), "expected"),
    ):
        with pytest.raises(BadInput, match=words):
            call()


def test_each_step_of_an_inversion_can_be_seen(model):
    """The last one is the answer, and the first ones are nothing that later ones change."""
    generator = stylegan(model)
    pictures = Noise(5, [0]).uniform((3, 16, 16))
    steps = [each["w+"] for each in generator.inverting(pictures, steps=6)]
    assert len(steps) == 6
    assert torch.equal(steps[-1], generator.invert(pictures, steps=6)["w+"])
    first = next(generator.inverting(pictures, steps=6))["w+"]
    assert torch.equal(steps[0], first) and not torch.equal(steps[0], steps[1])
