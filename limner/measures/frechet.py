"""The Fréchet distance between two sets of pictures (Heusel et al. 2017), in CLIP's feature space.

Inception's features, which the published FID takes, know photographs; limner's embedded CLIP knows
its world. Distances are comparable only for one CLIP and like numbers of pictures: with few of them
the distance is too large, even between two samples of the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures import Watch
from limner.models.clip import Clip, open_clip

__all__ = ["Frechet", "Gaussian", "distance", "fit", "frechet"]

Features = Callable[[Tensor], Tensor]  # (b, 3, h, w) in [0, 1] → (b, d)


@dataclass(frozen=True)
class Frechet:
    """`distance` between `real` and `painted` pictures, so many of each."""

    distance: float
    real: int
    painted: int
    clip: str


@dataclass(frozen=True, eq=False)
class Gaussian:
    """n samples' mean (d,) and unbiased covariance (d, d), float64."""

    n: int
    mean: Tensor
    covariance: Tensor


def frechet(
    real: Iterable[Tensor],
    painted: Iterable[Tensor],
    *,
    clip: str | Path | Clip = "embedded",
    watch: Watch | None = None,
) -> Frechet:
    """The distance between the Gaussians that CLIP's embeddings of two sets of pictures fit.

    Args:
        real: batches (b, 3, h, w) in [0, 1]
        painted: likewise; the sizes may differ
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        watch: called with the pictures that were looked at, and 0: their number is not known

    Raises BadInput when a set has fewer than two pictures or CLIP cannot be opened.
    """
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    a = fit(real, model.embed_pictures, watch)
    b = fit(painted, model.embed_pictures, watch)
    return Frechet(distance(a, b), a.n, b.n, model.name)


def fit(batches: Iterable[Tensor], features: Features, watch: Watch | None = None) -> Gaussian:
    """The Gaussian of the features of all batches, of which one is in memory at a time.

    Sums are taken about the first batch's mean, or rounding would eat the covariance.
    """
    n, about = 0, torch.empty(0)
    total = squares = torch.zeros(())
    for batch in batches:
        told = features(batch).double()
        if not n:
            about, total = told.mean(0), torch.zeros_like(told[0])
            squares = torch.zeros(told.shape[1], told.shape[1], dtype=torch.float64)
        moved = told - about
        n, total, squares = n + len(told), total + moved.sum(0), squares + moved.T @ moved
        if watch is not None:
            watch(n, 0)
    if n < 2:
        raise BadInput(f"{n} pictures: the Fréchet distance needs at least two, and better 1,000")
    mean = total / n
    return Gaussian(n, about + mean, (squares - n * torch.outer(mean, mean)) / (n - 1))


def distance(a: Gaussian, b: Gaussian) -> float:
    """|μ₁ − μ₂|² + tr(C₁ + C₂ − 2(C₁C₂)^½) (Dowson and Landau 1982, equation 4), 0 or more.

    The trace of (C₁C₂)^½ is that of (C₁^½ C₂ C₁^½)^½, which is symmetric: its eigenvalues are real.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    between = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean - b.mean).square().sum()
    return max(float(apart + a.covariance.trace() + b.covariance.trace() - 2 * between), 0.0)
