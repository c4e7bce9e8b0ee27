from __future__ import annotations

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.judges.likeness import Likeness
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_l2_is_the_mean_square(total, random_pictures):
    pictures, target = random_pictures(2, 6, 5), random_pictures(1, 6, 5, seed=1)
    wanted = ((pictures - target) ** 2).numpy().mean((1, 2, 3))
    np.testing.assert_allclose(total(Likeness(target), pictures, NOISE), wanted, rtol=1e-5)


def test_perceptual_compares_transformers_hidden_states(clip, model, total, random_pictures):
    pictures, target = random_pictures(2, 32, 32), random_pictures(1, 32, 32, seed=1)
    mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))

    def states(given):
        seen = model.vision_model((given - mean) / std, output_hidden_states=True)
        return [state / state.norm(dim=-1, keepdim=True) for state in seen.hidden_states]

    leaf, other = (pictures.clone().requires_grad_() for _ in range(2))
    pairs = list(zip(states(other), states(target)))
    assert len(pairs) == 3  # before the first of two layers and after each
    wanted = torch.stack([((a - b) ** 2).sum(-1).mean(1) for a, b in pairs]).mean(0)
    loss = total(Likeness(target, "perceptual", clip), leaf, NOISE)
    torch.testing.assert_close(loss, wanted, atol=1e-6, rtol=1e-5)
    wanted.sum().backward()
    loss.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-7, rtol=1e-3)


def test_the_target_itself_is_at_no_distance(clip, total, random_pictures):
    target = random_pictures(2, 40, 33)
    for judge in (Likeness(target), Likeness(target, "perceptual", clip)):
        assert float(total(judge, target, NOISE).max()) < 1e-10


def test_refuses_what_it_does_not_know(clip):
    target = torch.zeros(1, 3, 4, 4)
    with pytest.raises(BadInput, match="likeness 'l3'"):
        Likeness(target, "l3")
    with pytest.raises(BadInput, match="perceptual needs a CLIP"):
        Likeness(target, "perceptual")
    with pytest.raises(BadInput, match="l2 takes none"):
        Likeness(target, "l2", clip)
