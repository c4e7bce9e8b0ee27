from __future__ import annotations

import torch

from limner.judges.clip import Clip
from limner.judges.likeness import Likeness
from limner.judges.over import Over
from limner.judges.smooth import Smooth
from limner.judges.weighted import Weighted
from limner.noise import Noise
from limner.prompt import Phrase

NOISE = Noise(0, [0, 1])


def layers():
    return Noise(1, [0, 1]).uniform((4, 6, 8))


def composite(layer, ground):
    return layer[:, :3] * layer[:, 3:] + ground * (1 - layer[:, 3:])


def test_the_judge_sees_the_composite_and_its_gradient_comes_back(total, random_pictures):
    target, ground = random_pictures(1, 6, 8, seed=3), random_pictures(1, 6, 8, seed=4)
    leaf, other = layers().requires_grad_(), layers().requires_grad_()
    found = total(Over(Likeness(target), ground), leaf, NOISE)
    wanted = total(Likeness(target), composite(other, ground), NOISE)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    assert float(leaf.grad[:, 3].abs().min()) > 0


def test_parts_can_be_gone_back_through_one_by_one(clip, random_pictures):
    ground = random_pictures(1, 32, 32, seed=4)
    judges = [(Clip([clip], [Phrase("a cat")], views=3, views_at_once=1), 1.0), (Smooth(), 1.0)]
    judge = Over(Weighted(judges), ground)
    one, other = (Noise(1, [0, 1]).uniform((4, 32, 32)).requires_grad_() for _ in range(2))
    for part in judge.losses(one, NOISE, 0):
        part.sum().backward()
    whole = Weighted(judges).losses(composite(other, ground), NOISE, 0)
    torch.stack(list(whole)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)
