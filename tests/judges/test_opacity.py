from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit

from limner.judges.likeness import Likeness
from limner.judges.opacity import Opacity
from limner.judges.sparsity import Sparsity
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_sparsity_of_opacity_is_the_paper_s(total):
    layers = Noise(1, [0, 1]).uniform((4, 6, 5))
    alpha = layers[:, 3].double().numpy()
    wanted = 0.01 * (alpha + 2 * (expit(5 * alpha) - 0.5)).mean((1, 2))
    found = total(Opacity(Sparsity(torch.zeros(1, 3, 6, 5), 0.01, 0.01)), layers, NOISE)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_gradient_is_of_opacity_alone(total):
    layers = Noise(1, [0, 1]).uniform((4, 6, 5)).requires_grad_()
    where = Noise(2, [0]).uniform((1, 6, 5))
    total(Opacity(Likeness(where.expand(-1, 3, -1, -1))), layers, NOISE).sum().backward()
    wanted = 2 * (layers.detach()[:, 3:] - where) / 30
    torch.testing.assert_close(layers.grad[:, 3:], wanted)
    assert not layers.grad[:, :3].any()
