from __future__ import annotations

import numpy as np
from scipy.special import expit

from limner.judges.sparsity import Sparsity
from limner.noise import Noise


def test_is_numpy_s(total, random_pictures):
    pictures, reference = random_pictures(2, 6, 5), random_pictures(1, 6, 5, seed=2)
    apart = np.abs((pictures - reference).double().numpy()).mean(1)
    few = 2 * (expit(5 * apart) - 0.5)
    wanted = 0.3 * apart.mean((1, 2)) + 0.7 * few.mean((1, 2))
    found = total(Sparsity(reference, 0.3, 0.7), pictures, Noise(0, [0, 1]))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_few_large_changes_cost_less_than_many_small_ones(total):
    import torch

    reference = torch.zeros(1, 3, 8, 8)
    pictures = torch.stack([torch.zeros(3, 8, 8), torch.full((3, 8, 8), 1 / 64)])
    pictures[0, :, 3, 3] = 1  # as much in all
    few, many = total(Sparsity(reference), pictures, Noise(0, [0, 1]))
    assert float(few) < 0.7 * float(many)
