from __future__ import annotations

import pytest
import torch

from limner.errors import BadInput
from limner.judges.score import Score
from limner.levels import CLEAN, Level
from limner.noise import Noise

HALF = Level(0.8, 0.6)
MIDDLE, SPREAD = 0.3, 0.2  # of a Gaussian's numbers


def gaussian(x, level):
    """The exact denoiser of N(MIDDLE, SPREAD²)."""
    lean = level.alpha * SPREAD**2 / (level.alpha**2 * SPREAD**2 + level.sigma**2)
    return MIDDLE + lean * (x - level.alpha * MIDDLE)


def test_leads_in_the_mean_to_the_models_pictures(total):
    # z − E D = (z − μ)·σ²/(α²s² + σ²): noise leads up to the rest, whose spread is known, too.
    judge = Score(lambda pictures: 2 * pictures, gaussian, [HALF])
    pictures = torch.full((4000, 3, 2, 2), 0.45).requires_grad_()
    loss = total(judge, pictures, Noise(0, range(4000)))
    (gradient,) = torch.autograd.grad(loss.sum(), pictures)
    share = HALF.sigma**2 / (HALF.alpha**2 * SPREAD**2 + HALF.sigma**2)
    wanted = 2 * (0.9 - MIDDLE) * share / 12
    assert float(gradient.mean()) == pytest.approx(wanted, rel=0.005)
    lean = HALF.alpha * SPREAD**2 / (HALF.alpha**2 * SPREAD**2 + HALF.sigma**2)
    assert float(gradient.std()) == pytest.approx(2 * lean * HALF.sigma / 12, rel=0.02)


def test_the_network_counts_as_a_constant(total, random_pictures):
    weight = torch.tensor(0.4, requires_grad=True)
    seen = []

    def denoiser(x, level):
        seen.append(x)
        return weight * x.tanh()

    pictures = random_pictures(2, 5, 4).requires_grad_()
    loss = total(Score(lambda pictures: pictures, denoiser, [HALF]), pictures, Noise(3, [0, 1]))
    (gradient,) = torch.autograd.grad(loss.sum(), pictures)
    (x,) = seen
    assert weight.grad is None and not x.requires_grad
    apart = pictures.detach() - 0.4 * x.tanh()
    torch.testing.assert_close(gradient, apart / 60)
    torch.testing.assert_close(loss, apart.square().flatten(1).mean(1) / 2)
    n = (x - HALF.alpha * pictures.detach()) / HALF.sigma
    assert abs(float(n.std()) - 1) < 0.15 and not torch.equal(n[0], n[1])


def test_each_step_has_its_level_and_its_noise(total, random_pictures):
    asked = []

    def denoiser(x, level):
        asked.append((level, x))
        return x / level.alpha

    levels = [Level(0.6, 0.8), HALF, CLEAN]
    judge, pictures = Score(lambda p: p, denoiser, levels), random_pictures(1, 4, 4)
    losses = [float(total(judge, pictures, Noise(0, [0]), step)) for step in (0, 1, 1, 2, 7)]
    assert [level for level, _ in asked] == [levels[i] for i in (0, 1, 1, 2, 2)]
    assert losses[1] == losses[2] and len(set(losses)) == 3
    assert losses[3] == losses[4] == 0  # nothing pulls where there is no noise
    noise = [(x - a * pictures) / s for (a, s), x in asked[:2]]
    assert not torch.allclose(*noise, atol=0.1)


def test_refuses_to_judge_at_no_level():
    with pytest.raises(BadInput, match="one for each step"):
        Score(lambda pictures: pictures, gaussian, [])
