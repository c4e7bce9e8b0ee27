import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.generators.biggan import KINDS, biggan
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parent))
from _conditioned import conditioned


@pytest.fixture(scope="module")
def model():
    return conditioned()


def test_it_begins_where_big_sleep_does(model):
    start = biggan(model).start(Noise(3, range(400)))
    logits, noise = start["logits"].double(), start["noise"].double()
    assert logits.shape == (400, model.layers, 5) and noise.shape == (400, model.layers, 6)
    assert logits.mean().item() == pytest.approx(-3.9, abs=0.02)
    assert logits.std().item() == pytest.approx(0.3, abs=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=0.03)
    assert noise.std().item() == pytest.approx(0.955, abs=0.015)  # √.92: brought to ±2


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_what_the_kind_makes_of_logits(model, kind):
    """In float64, by numpy."""
    wide = conditioned(torch.float64)
    latent = {k: v.double() for k, v in biggan(model).start(Noise(3, range(2))).items()}
    latent["logits"] = latent["logits"] + 4
    said = biggan(wide, kind=kind).render(latent)
    logits = latent["logits"].numpy()
    shares = np.exp(logits) / (
        1 + np.exp(logits) if kind == "sigmoid" else np.exp(logits).sum(2, keepdims=True)
    )
    wanted = wide.pictures(latent["noise"], torch.from_numpy(shares))
    torch.testing.assert_close(said, wanted, atol=1e-10, rtol=0)


def test_layers_move_apart(model):
    generator = biggan(model)
    start = generator.start(Noise(3, [0]))
    pictures = [generator.render(start)]
    for part in ("noise", "logits"):
        for layer in range(model.layers):
            moved = {name: value.clone() for name, value in start.items()}
            moved[part][:, layer, 0] += 1.5
            pictures.append(generator.render(moved))
    for i, one in enumerate(pictures):
        assert all((one - other).abs().max() > 1e-5 for other in pictures[:i])


def test_noise_stays_like_a_sample_and_logits_within_reach(model):
    generator = biggan(model)
    noise = 6 * Noise(4, range(20)).normal((model.layers, 6))
    noise[0, 0] = torch.tensor([0.1, -0.2, 0.3, 1.9, 0.0, -1.0])  # could be a sample
    noise[0, 1] = torch.tensor([9.0, 0.0, 0.0, 0.0, 0.0, 0.0])  # cut at two, and short enough
    logits = torch.linspace(-50, 50, 20 * model.layers * 5).view(20, model.layers, 5)
    kept = generator.constrain({"noise": noise, "logits": logits})
    assert torch.equal(kept["noise"][0, 0], noise[0, 0])
    assert kept["noise"][0, 1].tolist() == [2, 0, 0, 0, 0, 0]
    assert kept["noise"].abs().max() <= 2 and kept["logits"].abs().max() == 10
    roots = np.sqrt((kept["noise"].double().numpy() ** 2).mean(2))
    assert roots.max() <= (1 + 2 / np.sqrt(12)) * (1 + 2e-5)
    flat = kept["noise"][5, 1] / noise[5, 1].clamp(-2, 2)
    torch.testing.assert_close(flat, flat[:1].expand(6)), "shortened, not turned"
    again = generator.constrain(kept)
    assert all(torch.equal(again[name], kept[name]) for name in kept)


def test_what_cannot_be_is_named(model):
    for call, words in (
        (lambda: biggan(model, kind="class"), "sigmoid or softmax"),
        (lambda: biggan(model, (16, 12)), "paints 16x16 pixels"),
        (lambda: biggan(model, (0, 16)), "size"),
    ):
        with pytest.raises(BadInput, match=words):
            call()
