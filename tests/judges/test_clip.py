"""The CLIP judge against transformers' CLIPModel and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.noise import Noise
from limner.picture import Picture
from limner.prompt import Phrase, parse

PHRASES = [Phrase("a red cube", 2.0), Phrase("the dog", -1.0), Phrase("a cat", 0.0)]
NOISE = Noise(0, [0, 1])


def by_numpy(pictures, texts, distance):
    """Of embeddings (b, d) and (k, d): (b, k)."""
    cosine = (pictures.double().numpy() @ texts.double().numpy().T).clip(-1, 1)
    return 1 - cosine if distance == "cosine" else np.arccos(cosine) ** 2 / 2


@pytest.mark.parametrize("distance", ["spherical", "cosine"])
def test_is_the_distance_of_transformers_embeddings(
    distance, clip, features, whole, total, random_pictures
):
    pictures = random_pictures(2, 32, 32)
    judge = Clip([clip], PHRASES, distance, views=1, camera=whole)
    leaf, other = (pictures.clone().requires_grad_() for _ in range(2))
    loss = total(judge, leaf, NOISE)
    seen, texts = features(other), features([phrase.text for phrase in PHRASES])
    apart = by_numpy(seen.detach(), texts, distance)
    np.testing.assert_allclose(loss.detach(), (2 * apart[:, 0] - apart[:, 1]) / 3, atol=1e-5)
    cosine = seen @ texts.T
    wanted = 1 - cosine if distance == "cosine" else cosine.arccos() ** 2 / 2
    ((2 * wanted[:, 0] - wanted[:, 1]) / 3).sum().backward()
    loss.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-6, rtol=1e-3)


def test_several_clips_are_averaged(clip, clip64, whole, total, random_pictures):
    pictures = random_pictures(2, 32, 32)
    one, both = (Clip(c, PHRASES, views=2, camera=whole) for c in ([clip], [clip, clip64]))
    assert len(list(both.losses(pictures, NOISE, 0))) == 2
    torch.testing.assert_close(total(both, pictures, NOISE), total(one, pictures, NOISE))
    drawn = Clip([clip, clip], PHRASES, views=2)
    first, second = drawn.losses(pictures, NOISE, 0)
    assert not torch.allclose(first, second)  # each takes views of its own


def test_how_many_views_at_once_changes_nothing(clip, random_pictures):
    results = []
    for at_once in (None, 1, 3, 50):
        pictures = random_pictures(2, 40, 50).requires_grad_()
        judge = Clip([clip], PHRASES, views=7, views_at_once=at_once)
        parts = 0
        loss = torch.zeros(2)
        for part in judge.losses(pictures, NOISE, 3):
            part.sum().backward()
            loss, parts = loss + part.detach(), parts + 1
        assert parts == {None: 1, 1: 7, 3: 3, 50: 1}[at_once]
        results.append((loss, pictures.grad))
    for loss, gradient in results[1:]:
        torch.testing.assert_close(loss, results[0][0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-5, rtol=1e-4)
    assert float(results[0][1].abs().max()) > 1e-4


@pytest.mark.parametrize("distance", ["spherical", "cosine"])
def test_gradient_is_that_of_differences(distance, clip64, total, slope, random_pictures):
    judge = Clip([clip64], PHRASES, distance, views=3)
    pictures = random_pictures(2, 40, 44, dtype=torch.float64)
    exact, differences = slope(lambda x: total(judge, x, NOISE, 2), pictures)
    assert exact == pytest.approx(differences, rel=1e-5) and abs(exact) > 1e-4


def test_a_negative_phrase_pushes_away(clip, whole, total, random_pictures):
    toward, away = (
        Clip([clip], parse(prompt), views=1, camera=whole) for prompt in ("a cat", "a cat:-3")
    )
    pictures = random_pictures(2, 32, 32).requires_grad_()
    loss = total(away, pictures, NOISE)
    torch.testing.assert_close(loss, -total(toward, pictures, NOISE))
    loss.sum().backward()
    step = pictures.detach() - 0.2 * pictures.grad / pictures.grad.norm()
    assert bool((total(toward, step, NOISE) > total(toward, pictures, NOISE)).all())


def test_a_phrase_can_be_a_picture(clip, features, whole, total, tmp_path, random_pictures):
    bytes_ = random_pictures(1, 32, 32, seed=5).mul(255).round().div(255)
    path = Picture(bytes_[0]).save(tmp_path / "a.png")
    judge = Clip([clip], parse(str(path)), views=1, camera=whole)
    pictures = torch.cat([bytes_, random_pictures(1, 32, 32)]).requires_grad_()
    loss = total(judge, pictures, NOISE)
    wanted = by_numpy(features(pictures.detach()), features(bytes_), "spherical")[:, 0]
    np.testing.assert_allclose(loss.detach(), wanted, atol=1e-5)
    loss.sum().backward()
    assert bool(pictures.grad.isfinite().all())  # at the target itself too
    with pytest.raises(BadInput, match=r"cannot read the picture.*none\.png"):
        Clip([clip], parse(str(tmp_path / "none.png")))


def test_opposites_have_a_finite_gradient(clip, whole, total, random_pictures):
    pictures = random_pictures(1, 32, 32).requires_grad_()
    judge = Clip([clip], [Phrase("a")], views=1, camera=whole)
    object.__setattr__(judge, "targets", (-clip.embed_pictures(pictures.detach()),))
    loss = total(judge, pictures, Noise(0, [0]))
    assert float(loss.detach()) == pytest.approx(np.pi**2 / 2, abs=0.01)
    loss.sum().backward()
    assert bool(pictures.grad.isfinite().all())


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"phrases": [Phrase("a", 0.0)]}, "not all of them 0"),
        ({"phrases": []}, "not all of them 0"),
        ({"phrases": [Phrase("a", float("nan"))]}, "finite"),
        ({"clips": []}, "no CLIP"),
        ({"distance": "l2"}, "distance 'l2'"),
        ({"views": 0}, "at least 1"),
    ],
)
def test_refuses(wrong, match, clip):
    with pytest.raises(BadInput, match=match):
        Clip(**{"clips": [clip], "phrases": PHRASES, "camera": Camera(), **wrong})
