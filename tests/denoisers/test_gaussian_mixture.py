import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.errors import BadInput
from limner.levels import CLEAN, Level

MEANS = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
STDS = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
MIXTURE = GaussianMixture(MEANS, STDS, WEIGHTS)


@pytest.mark.parametrize("level", [Level(0.9, 0.1), Level(0.6, 0.8), Level(1.0, 3.0)])
def test_is_tweedies_formula_on_torchs_own_density(level):
    x = 1.5 * torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    x.requires_grad_()
    spread = (level.alpha**2 * STDS**2 + level.sigma**2).sqrt()[:, None].expand(3, 18)
    parts = Independent(Normal(level.alpha * MEANS.flatten(1), spread), 1)
    density = MixtureSameFamily(Categorical(probs=WEIGHTS), parts)
    (score,) = torch.autograd.grad(density.log_prob(x.flatten(1)).sum(), x)
    expected = (x + level.sigma**2 * score) / level.alpha
    torch.testing.assert_close(MIXTURE(x, level), expected.detach())


def test_in_pure_noise_it_is_the_mean_and_at_clean_x_itself():
    x = torch.ones(1, 2, 3, 3, dtype=torch.float64)
    mean = (WEIGHTS / 8).reshape(3, 1, 1, 1) * MEANS
    torch.testing.assert_close(MIXTURE(x, Level(0.0, 1.0)), mean.sum(0, keepdim=True))
    torch.testing.assert_close(MIXTURE(x, CLEAN), x)


def test_answers_in_the_type_of_x():
    assert MIXTURE(torch.ones(1, 2, 3, 3), Level(0.6, 0.8)).dtype == torch.float32


@pytest.mark.parametrize(
    "means, stds, weights, match",
    [
        (MEANS[0], STDS, WEIGHTS, "shapes"),
        (MEANS, STDS[:2], WEIGHTS, "shapes"),
        (MEANS, STDS - 0.2, WEIGHTS, "above 0"),
        (MEANS, STDS, WEIGHTS - 1, "above 0"),
    ],
)
def test_refuses_what_is_no_mixture(means, stds, weights, match):
    with pytest.raises(BadInput, match=match):
        GaussianMixture(means, stds, weights)
