"""How a space sees a picture: a linear one, of which everything is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from limner.models.stylegan import StyleGAN, open_stylegan
from limner.noise import Noise
from limner.tasks import _spaces
from limner.tasks._spaces import KINDS, Space, fitted

sys.path.insert(0, str(Path(__file__).parent))
from _toys import SIDE, linear_space, stylegan_folder


def test_a_linear_generator_is_inverted_exactly() -> None:
    space, generator = linear_space(_spaces._encoded)
    z = Noise(0, range(3)).normal((5,))
    torch.testing.assert_close(space.inverted(generator.render({"z": z}))["z"], z)


def test_steps_lead_on_from_what_the_encoder_says() -> None:
    """Least squares is the nearest picture: an encoder that is off is led there."""
    space, generator = linear_space(_spaces._encoded)
    pictures = Noise(1, range(2)).uniform((3, SIDE, SIDE))
    nearest = space.inverted(pictures)["z"]
    generator.encoder_is_off_by = 0.4
    seen: list[int] = []
    led = space.inverted(pictures, 150, lambda step, best: seen.append(step))["z"]
    assert (space.inverted(pictures)["z"] - nearest).abs().min() > 0.3
    torch.testing.assert_close(led, nearest, atol=0.02, rtol=0)
    assert seen == list(range(1, 151))


def test_steps_never_lead_away() -> None:
    space, generator = linear_space(_spaces._encoded)
    target = generator.render({"z": Noise(0, [0]).normal((5,))})
    apart = lambda latent: float((generator.render(latent) - target).square().mean())  # noqa: E731
    assert apart(space.inverted(target, 3)) <= apart(space.inverted(target)) + 1e-12


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((128, 96), (128, 96)), ((130, 97), (128, 96)), ((3, 5), (8, 8)), ((2048, 512), (1024, 256))],
)
def test_autoencoders_take_sizes_near_the_picture_s(
    given: tuple[int, int], wanted: tuple[int, int]
) -> None:
    from limner.models.vqgan import Vqgan

    model = Vqgan("tiny", torch.nn.Identity(), torch.zeros(2, 2), 128, 8, "MIT", ())  # type: ignore[arg-type]
    assert KINDS["vqgan"].fits(model, given) == wanted


def test_a_picture_s_middle_is_taken() -> None:
    pixels = torch.zeros(3, 4, 8)
    pixels[:, :, 2:6] = 1
    assert torch.equal(fitted(pixels, (4, 4)), torch.ones(1, 3, 4, 4))
    assert torch.equal(fitted(pixels.mT, (4, 4)), torch.ones(1, 3, 4, 4))
    assert torch.equal(fitted(pixels, (8, 4)), pixels[None])


def test_every_kind_of_stylegan_is_there() -> None:
    from limner.generators.stylegan import KINDS as STYLES

    assert {n.partition("=")[2] or "w+" for n in KINDS if n.startswith("stylegan")} == set(STYLES)
    assert KINDS["stylegan=z"].round == ("z", "noise")
    assert KINDS["stylegan"].round == ("noise",)
    assert StyleGAN in _spaces.Model.__args__


def test_a_generator_that_looks_itself_is_followed_step_by_step(tmp_path: Path) -> None:
    space = Space("stylegan", KINDS["stylegan"], open_stylegan(stylegan_folder(tmp_path / "own")))
    seen: list[tuple[int, torch.Tensor]] = []
    pictures = Noise(1, [0]).uniform((3, 64, 64))
    found = space.inverted(pictures, 3, lambda step, best: seen.append((step, best["w+"])))
    assert [step for step, _ in seen] == [1, 2, 3]
    assert torch.equal(seen[-1][1], found["w+"]) and not torch.equal(seen[0][1], found["w+"])
