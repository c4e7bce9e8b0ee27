from __future__ import annotations

import pytest
import torch

from limner.errors import BadInput
from limner.judges.clip import Clip
from limner.judges.likeness import Likeness
from limner.judges.masked import Masked
from limner.judges.smooth import Smooth
from limner.judges.weighted import Weighted
from limner.noise import Noise
from limner.prompt import Phrase

NOISE = Noise(0, [0, 1])


def half(height, width):
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_the_judge_sees_the_blend(total, random_pictures):
    pictures, outside = random_pictures(2, 6, 8), random_pictures(1, 6, 8, seed=1)
    mask = random_pictures(1, 6, 8, seed=2)[:, :1]
    blend = mask * pictures + (1 - mask) * outside
    judge = Masked(Smooth(), mask, outside)
    torch.testing.assert_close(total(judge, pictures, NOISE), total(Smooth(), blend, NOISE))
    grey = mask * pictures + (1 - mask) * 0.5
    torch.testing.assert_close(
        total(Masked(Smooth(), mask), pictures, NOISE), total(Smooth(), grey, NOISE)
    )


def test_gradient_is_the_blend_s_and_ends_at_the_mask(total, random_pictures):
    target = random_pictures(1, 6, 8, seed=3)
    leaf, other = (random_pictures(2, 6, 8).requires_grad_() for _ in range(2))
    total(Masked(Likeness(target), half(6, 8)), leaf, NOISE).sum().backward()
    mask = half(6, 8)
    total(Likeness(target), mask * other + (1 - mask) * 0.5, NOISE).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    assert torch.equal(leaf.grad[..., 4:], torch.zeros(2, 3, 6, 4))
    assert float(leaf.grad[..., :4].abs().min()) > 0


def test_parts_can_be_gone_back_through_one_by_one(clip, random_pictures):
    judges = [(Clip([clip], [Phrase("a cat")], views=3, views_at_once=1), 1.0), (Smooth(), 1.0)]
    masked = Masked(Weighted(judges), half(32, 32))
    one, all_ = (random_pictures(2, 32, 32).requires_grad_() for _ in range(2))
    for part in masked.losses(one, NOISE, 0):
        part.sum().backward()
    torch.stack(list(masked.losses(all_, NOISE, 0))).sum().backward()
    torch.testing.assert_close(one.grad, all_.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 6, 7), (3, 1, 6, 8), (1, 3, 6, 8), (6, 8)])
def test_refuses_a_mask_of_another_size(shape, random_pictures):
    masked = Masked(Smooth(), torch.ones(shape))
    with pytest.raises(BadInput, match=r"the mask is .* \(1, 1, 6, 8\) or \(2, 1, 6, 8\)"):
        masked.losses(random_pictures(2, 6, 8), NOISE, 0)


def test_refuses_values_that_are_no_shares():
    for value in (1.5, -0.1, float("nan")):
        with pytest.raises(BadInput, match=r"outside \[0, 1\]"):
            Masked(Smooth(), torch.full((1, 1, 4, 4), value))
