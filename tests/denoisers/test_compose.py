import pytest
import torch
from torch.distributions import Normal

from limner.denoisers.cfg import CFG
from limner.denoisers.compose import Compose
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import Level

LEVEL = Level(0.8, 0.6)
X = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(6, 1, 2, 2)
PLACES = {"anything": 0.0, "left": -1.0, "right": 2.0}
EMPTY, LEFT, RIGHT = (torch.full((1, 1, 1), at).double() for at in PLACES.values())


def network(x, level, condition):
    """Exact denoiser of N(condition, ½²), picture by picture."""
    half = torch.tensor([0.5], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    rows = [
        GaussianMixture(at.reshape(1, 1, 1, 1), half, one)(row[None], level)
        for row, at in zip(x, condition)
    ]
    return torch.cat(rows)


@pytest.mark.parametrize(
    "weights",
    [(1.0, 1.0), (1.5, -0.5), (0.0, 2.0)],
    ids=["and", "not", "one"],
)
def test_follows_the_score_of_the_composed_density(weights):
    """∇ log p_u·Π(p_k/p_u)^w_k at this level by autograd, and Tweedie's x0 = (x + σ²·score)/α."""
    x = X.clone().requires_grad_()
    spread = torch.tensor(0.25 * LEVEL.alpha**2 + LEVEL.sigma**2, dtype=torch.float64).sqrt()
    log = {at: Normal(LEVEL.alpha * at, spread).log_prob(x).sum() for at in PLACES.values()}
    composed = log[0.0] + sum(w * (log[at] - log[0.0]) for w, at in zip(weights, (-1.0, 2.0)))
    (score,) = torch.autograd.grad(composed, x)
    expected = (X + LEVEL.sigma**2 * score) / LEVEL.alpha
    got = Compose(network, [LEFT, RIGHT], weights, EMPTY)(X, LEVEL)
    torch.testing.assert_close(got, expected)


def test_one_prompt_is_classifier_free_guidance():
    composed = Compose(network, [RIGHT], [3.0], EMPTY)(X, LEVEL)
    torch.testing.assert_close(composed, CFG(network, RIGHT, EMPTY, 3.0)(X, LEVEL))


def test_asks_the_network_once():
    batches = []

    def counts(x, level, condition):
        batches.append(len(x))
        return network(x, level, condition)

    Compose(counts, [LEFT, RIGHT], [1.0, 1.0], EMPTY)(X, LEVEL)
    assert batches == [18]


@pytest.mark.parametrize("prompts, weights", [([], []), ([LEFT], [1.0, 2.0])])
def test_refuses_prompts_without_weights(prompts, weights):
    with pytest.raises(BadInput, match="one weight for each prompt"):
        Compose(network, prompts, weights, EMPTY)
