"""What every judge of the room owes, whatever it looks at."""

from __future__ import annotations

import inspect

import pytest
import torch

from limner._rooms import find, names
from limner.errors import BadInput
from limner.judges import Judge
from limner.judges.smooth import Smooth
from limner.levels import Level
from limner.noise import Noise
from limner.prompt import Phrase

SIZE = (41, 37)  # odd, since the last few numbers in memory may be rounded otherwise


def _to_grey(x, level):
    """A denoiser: row by row, and not linear."""
    return (x / level.alpha).tanh() + 0.5


def makers(clip, reference, identity=None):
    """Each member, made to judge pictures of the reference's size."""
    mask = (reference[:, :1] > 0.3).float()
    return {
        "annealed": lambda member: member(Smooth(2), 9),
        "clip": lambda member: member([clip], [Phrase("a cat"), Phrase("dog", -0.3)], views=3),
        "direction": lambda member: member([clip], reference, "dog", "cat", views=3),
        "identity": lambda member: member(reference, identity),
        "likeness": lambda member: member(reference, "perceptual", clip),
        "masked": lambda member: member(Smooth(2), mask, reference),
        "opacity": lambda member: member(Smooth(2)),
        "over": lambda member: member(Smooth(2), reference),
        "palette": lambda member: member(reference[0, :, 0, :5].T),
        "saturation": lambda member: member(),
        "score": lambda member: member(lambda x: 3 * x, _to_grey, [Level(0.8, 0.6)]),
        "screen": lambda member: member([clip], "a cat", views=3),
        "smooth": lambda member: member(2),
        "sparsity": lambda member: member(reference),
        "structure": lambda member: member(clip, reference),
        "symmetry": lambda member: member(),
        "weighted": lambda member: member([(Smooth(), 2.0), (Smooth(2), -1.0)]),
    }


MEMBERS = list(makers(None, torch.zeros(1, 1, 1, 1)))
OF_NETWORKS = ("clip", "direction", "identity", "likeness", "score", "screen", "structure")
PLAIN = [name for name in MEMBERS if name not in OF_NETWORKS]
OF_LAYERS = ("opacity", "over", "screen")
WITH_REFERENCE = ["direction", "identity", "likeness", "masked", "over", "sparsity", "structure"]
every = pytest.mark.parametrize("name", MEMBERS)


@pytest.fixture(scope="module")
def seen_by(random_pictures):
    """seen_by(name, b, height, width) → pictures, or layers for a judge of those."""

    def get(name, b, height, width, dtype=torch.float32):
        pictures = random_pictures(b, height, width, dtype=dtype)
        alpha = random_pictures(b, height, width, seed=7, dtype=dtype)[:, :1]
        return torch.cat([pictures, alpha], 1) if name in OF_LAYERS else pictures

    return get


@pytest.fixture(scope="module")
def judge_of(clip, identity, random_pictures):
    made = makers(clip, random_pictures(1, *SIZE, seed=8), identity)
    return lambda name: made[name](find("judges", name))


def test_are_those_of_this_page():
    assert names("judges") == MEMBERS


@every
def test_takes_what_the_protocol_says(name):
    asked, given = (
        inspect.signature(each.losses).parameters for each in (Judge, find("judges", name))
    )
    assert list(given) == list(asked)


@every
def test_a_loss_for_each_picture_the_same_again(name, judge_of, seen_by):
    judge, pictures, noise = judge_of(name), seen_by(name, 3, *SIZE), Noise(1, [4, 2, 9])
    parts = list(judge.losses(pictures, noise, 1))
    assert parts and all(part.shape == (3,) for part in parts)
    assert all(part.dtype == torch.float32 and bool(part.isfinite().all()) for part in parts)
    for one, again in zip(parts, judge.losses(pictures, noise, 1), strict=True):
        assert torch.equal(one, again)
    assert float(torch.stack(parts).sum(0).std()) > 0
    assert len(list(judge.losses(pictures[:1], Noise(1, [4]), 1))) == len(parts)


@every
def test_a_picture_is_judged_the_same_alone_and_in_a_batch(name, judge_of, seen_by):
    judge, pictures, samples = judge_of(name), seen_by(name, 3, *SIZE), [4, 2, 9]

    def asked(rows):
        seen = pictures[rows].requires_grad_()
        parts = list(judge.losses(seen, Noise(1, [samples[row] for row in rows]), 5))
        loss = torch.stack(parts).sum(0)
        (gradient,) = torch.autograd.grad(loss.sum(), seen)
        return loss.detach(), gradient

    together, gradients = asked([0, 1, 2])
    for row in range(3):
        alone, gradient = asked([row])
        if name in PLAIN:
            assert torch.equal(alone[0], together[row])
            assert torch.equal(gradient[0], gradients[row])
        else:  # a network's products may round by the batch's size
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(gradient[0], gradients[row], atol=1e-5, rtol=1e-4)


@every
def test_each_part_is_a_graph_of_its_own(name, judge_of, seen_by):
    judge, noise = judge_of(name), Noise(1, [4, 2])
    pictures = seen_by(name, 2, *SIZE).requires_grad_()
    for part in judge.losses(pictures, noise, 0):
        part.sum().backward()
    (gradient,) = torch.autograd.grad(sum(judge.losses(pictures, noise, 0)).sum(), pictures)
    assert torch.allclose(pictures.grad, gradient, atol=1e-6)
    assert all(bool(row.abs().max() > 0) for row in gradient)


@pytest.mark.parametrize("name", PLAIN)
def test_gradient_is_that_of_differences(name, judge_of, total, slope, seen_by):
    judge, noise = judge_of(name), Noise(1, [4, 2])
    pictures = seen_by(name, 2, *SIZE, dtype=torch.float64)
    exact, differences = slope(lambda x: total(judge, x, noise), pictures, h=1e-8)
    assert exact == pytest.approx(differences, rel=1e-4) and abs(exact) > 1e-5


@every
def test_can_be_asked_without_gradients(name, judge_of, seen_by):
    pictures, noise = seen_by(name, 2, *SIZE), Noise(1, [4, 2])
    with torch.no_grad():
        parts = list(judge_of(name).losses(pictures, noise, 0))
    assert parts and not any(part.requires_grad for part in parts)


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_refuses_pictures_of_another_size_than_the_reference(name, judge_of, seen_by):
    with pytest.raises(BadInput, match=r"\(1, [13], 41, 37\).*resize"):
        list(judge_of(name).losses(seen_by(name, 2, 41, 36), Noise(1, [4, 2]), 0))
