from __future__ import annotations

import numpy as np
import torch

from limner.judges.structure import Structure
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_compares_the_cosines_of_transformers_patches(clip, model, total, random_pictures):
    pictures, reference = random_pictures(2, 32, 32), random_pictures(1, 32, 32, seed=1)
    mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))

    def similarity(given):
        seen = model.vision_model((given - mean) / std, output_hidden_states=True)
        patches = seen.hidden_states[-1][:, 1:].double()
        assert patches.shape[1] == 16
        apart = torch.nn.functional.cosine_similarity(patches[:, None], patches[:, :, None], -1)
        return apart

    leaf, other = (pictures.clone().requires_grad_() for _ in range(2))
    wanted = ((similarity(other) - similarity(reference)) ** 2).mean((1, 2))
    loss = total(Structure(clip, reference), leaf, NOISE)
    np.testing.assert_allclose(loss.detach(), wanted.detach(), rtol=1e-3)
    loss.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-7, rtol=1e-2)


def test_the_reference_itself_is_at_no_distance(clip, total, random_pictures):
    reference = random_pictures(2, 40, 33)
    assert float(total(Structure(clip, reference), reference, NOISE).max()) < 1e-10
