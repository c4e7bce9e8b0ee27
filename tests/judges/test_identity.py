from __future__ import annotations

import pytest
import torch

from limner.judges.identity import Identity
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


@pytest.fixture(scope="module")
def theirs(faces_folder):
    """theirs(pictures (b, 3, 32, 32)) → (b, 3) of length 1, by transformers."""
    from transformers import ResNetForImageClassification

    model = ResNetForImageClassification.from_pretrained(faces_folder("identity")).eval()
    mean = torch.tensor([0.5, 0.4, 0.6])[:, None, None]
    std = torch.tensor([0.5, 0.6, 0.4])[:, None, None]

    def embed(pictures):
        said = model((pictures - mean) / std).logits
        return said / said.norm(dim=1, keepdim=True)

    return embed


def test_is_one_less_the_cosine_of_transformers_logits(identity, theirs, total, random_pictures):
    pictures, reference = random_pictures(2, 32, 32), random_pictures(1, 32, 32, seed=1)
    leaf, other = (pictures.clone().requires_grad_() for _ in range(2))
    wanted = 1 - theirs(other) @ theirs(reference)[0]
    loss = total(Identity(reference, identity), leaf, NOISE)
    torch.testing.assert_close(loss, wanted, atol=1e-6, rtol=1e-5)
    wanted.sum().backward()
    loss.sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-7, rtol=1e-3)


def test_each_row_is_compared_with_its_own_reference(identity, total, random_pictures):
    pictures, references = random_pictures(2, 40, 33), random_pictures(2, 40, 33, seed=1)
    both = total(Identity(references, identity), pictures, NOISE)
    for row in range(2):
        one = total(Identity(references[row : row + 1], identity), pictures[row : row + 1], NOISE)
        torch.testing.assert_close(one[0], both[row], atol=1e-6, rtol=1e-5)


def test_the_reference_itself_costs_nothing(identity, total, random_pictures):
    reference = random_pictures(2, 40, 33)
    assert float(total(Identity(reference, identity), reference, NOISE).abs().max()) < 1e-6


def test_gradient_is_that_of_differences(identity, total, slope, random_pictures):
    double = identity.to("cpu", torch.float64)
    reference = random_pictures(1, 36, 36, seed=1, dtype=torch.float64)
    judge, pictures = Identity(reference, double), random_pictures(2, 36, 36, dtype=torch.float64)
    exact, differences = slope(lambda x: total(judge, x, NOISE), pictures, h=1e-7)
    assert exact == pytest.approx(differences, rel=1e-4) and abs(exact) > 1e-6
