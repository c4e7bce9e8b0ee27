from __future__ import annotations

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.judges.direction import Direction
from limner.noise import Noise
from limner.prompt import TEMPLATES, fill

NOISE = Noise(0, [0, 1])


def test_is_one_less_the_cosine_of_both_ways(clip, features, whole, total, random_pictures):
    pictures, reference = random_pictures(2, 32, 32), random_pictures(1, 32, 32, seed=9)
    judge = Direction([clip], reference, "dog", "cat", views=1, camera=whole)
    with torch.no_grad():
        labels = [features(fill(TEMPLATES, label)).mean(0) for label in ("dog", "cat")]
        source, target = (each / each.norm() for each in labels)
        way = (features(pictures) - features(reference)).numpy()
    axis = (target - source).numpy()
    wanted = 1 - way @ axis / np.linalg.norm(way, axis=1) / np.linalg.norm(axis)
    np.testing.assert_allclose(total(judge, pictures, NOISE), wanted, atol=2e-4)


def test_at_the_reference_the_gradient_leads_the_words_way(clip, total, random_pictures):
    reference = random_pictures(2, 40, 40)
    judge = Direction([clip], reference, "dog", "cat", views=5, views_at_once=2)
    pictures = reference.clone().requires_grad_()
    loss = total(judge, pictures, NOISE)
    assert torch.equal(loss, torch.ones(2)) or torch.allclose(loss, torch.ones(2), atol=1e-6)
    loss.sum().backward()
    step = reference - 0.05 * pictures.grad / pictures.grad.norm()
    assert bool(step.isfinite().all()) and bool((total(judge, step, NOISE) < 0.9).all())


def test_gradient_is_that_of_differences(clip64, total, slope, random_pictures):
    reference = random_pictures(1, 36, 36, seed=4, dtype=torch.float64)
    judge = Direction([clip64], reference, "dog", "cat", views=2)
    pictures = random_pictures(2, 36, 36, dtype=torch.float64)
    exact, differences = slope(lambda x: total(judge, x, NOISE), pictures)
    assert exact == pytest.approx(differences, rel=1e-5)


def test_from_another_reference_it_is_the_judge_of_that(clip, total, random_pictures):
    pictures, *other = (random_pictures(2, 36, 36, seed=k) for k in range(3))
    first, second = (Direction([clip], each, "dog", "cat", views=2) for each in other)
    before = total(first, pictures, NOISE)
    assert torch.equal(total(first.at(other[1]), pictures, NOISE), total(second, pictures, NOISE))
    assert torch.equal(total(first, pictures, NOISE), before)
    assert first.at(other[1]).axes is first.axes


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"target": "dog"}, "both 'dog'"),
        ({"templates": ()}, "at least one of each"),
        ({"views_at_once": 0}, "at least 1"),
    ],
)
def test_refuses(wrong, match, clip, random_pictures):
    said = {"clips": [clip], "reference": random_pictures(1, 32, 32), "source": "dog"}
    with pytest.raises(BadInput, match=match):
        Direction(**{**said, "target": "cat", **wrong})
