from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limner import open_clip
from limner.errors import BadInput
from limner.measures.frechet import Gaussian, distance, fit, frechet


def features(seed: int, n: int = 300, d: int = 12, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift
    return torch.from_numpy(mixed)


def gaussian(samples: Tensor) -> Gaussian:
    return Gaussian(len(samples), samples.mean(0), torch.cov(samples.T))


@pytest.mark.parametrize("n", [300, 8])  # 8 samples of 12 dimensions: a singular covariance
def test_the_distance_is_the_formula_with_scipy_s_matrix_root(n: int) -> None:
    from scipy.linalg import sqrtm

    a, b = features(0, n), features(1, shift=0.7)
    c1, c2 = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root = np.real(sqrtm(c1 @ c2))
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum().item()
    wanted = apart + np.trace(c1 + c2 - 2 * root)
    assert distance(gaussian(a), gaussian(b)) == pytest.approx(wanted, rel=1e-4)


def test_of_one_dimension_it_is_that_of_two_bells() -> None:
    a = Gaussian(9, torch.tensor([1.0]).double(), torch.tensor([[4.0]]).double())
    b = Gaussian(9, torch.tensor([4.0]).double(), torch.tensor([[25.0]]).double())
    assert distance(a, b) == pytest.approx((4 - 1) ** 2 + (5 - 2) ** 2)
    assert distance(a, a) == pytest.approx(0, abs=1e-9)


def test_the_fit_is_numpy_s_in_any_batches_also_far_from_zero() -> None:
    samples = features(2, 101, shift=1e4)
    whole = fit([samples], lambda x: x)
    for parts in (samples.split(1), samples.split(40)):
        found = fit(parts, lambda x: x)
        assert found.n == 101
        assert torch.allclose(found.mean, whole.mean)
        assert np.allclose(found.covariance, np.cov(samples.numpy().T), rtol=1e-6, atol=1e-8)


class Means(nn.Module):
    """A feature module: means of the picture's quarters in each colour."""

    num_features = 12

    def forward(self, pictures: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pictures.float(), 2).flatten(1)


def test_it_agrees_with_torchmetrics_on_the_same_features() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = torch.Generator().manual_seed(0)
    real = torch.rand(90, 3, 16, 16, generator=rng)
    painted = torch.rand(70, 3, 16, 16, generator=rng) ** 1.3
    metric = FrechetInceptionDistance(feature=Means(), normalize=True).set_dtype(torch.float64)
    metric.inception.double()
    metric.update(real.double(), real=True)
    metric.update(painted.double(), real=False)
    pair = (fit(each.double().split(32), Means().double()) for each in (real, painted))
    wanted = float(metric.compute())
    assert distance(*pair) == pytest.approx(wanted, rel=1e-4) and wanted > 0.01


def test_pictures_go_through_clip(clip_folder: Path) -> None:
    clip = open_clip(clip_folder)
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.rand(20, 3, 32, 32, generator=rng) ** power for power in (1, 3))
    told: list[tuple[int, int]] = []
    found = frechet(a.split(8), b.split(1), clip=clip, watch=lambda n, _: told.append((n, 0)))
    wanted = distance(
        gaussian(clip.embed_pictures(a).double()), gaussian(clip.embed_pictures(b).double())
    )
    assert found.distance == pytest.approx(wanted, rel=1e-3)
    assert (found.real, found.painted) == (20, 20) and told[0] == (8, 0) and told[-1] == (20, 0)
    assert frechet([a], [a], clip=clip).distance < 0.01 * found.distance
    with pytest.raises(BadInput, match="1 pictures: the Fréchet distance needs"):
        frechet([a[:1]], [b], clip=clip)
    with pytest.raises(BadInput, match="0 pictures"):
        frechet([], [b], clip=clip)
