"""Densities by the probability flow: the instantaneous change of variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from limner.denoisers import Denoiser
from limner.errors import BadInput
from limner.levels import Level
from limner.noise import Noise

__all__ = ["bits", "log_density", "probes_of"]


def log_density(
    denoiser: Denoiser,
    x0: Tensor,
    levels: Sequence[Level],
    *,
    probes: Tensor | None = None,
    spread: float = 1.0,
) -> Tensor:
    """ln p(x0) (b,) in nats of x0 (b, c, h, w): Song et al. 2021, eq. 39, for any family of levels.

    In y = x/(α+σ) over the flow time t = σ/(α+σ) the probability flow is dy/dt = (y − D)/t, whose
    divergence is (d − tr ∂D/∂y)/t; the density at the noisiest level is taken for a Gaussian's.
    Runge–Kutta of fourth order, one step from each level to the next.

    levels:  as for samplers, noisy to clean; the last that has noise is where x0 is taken to be,
             scaled by its α: it should be so clean that its noise is nothing beside the data's
    probes:  (k, b, c, h, w) of ±1: Hutchinson's estimate of the trace from k products; exact, with
             as many products as x0 has numbers, when not given
    spread:  the data's standard deviation, for the Gaussian at the noisiest level
    """
    noisy = [level for level in levels if level.sigma > 0]
    if len(noisy) < 2:
        raise BadInput(f"{len(noisy)} levels with noise: give at least 2")
    for here, after in pairwise(noisy):
        if not here.ratio > after.ratio:
            raise BadInput(f"levels must fall from noise to clean, but {here} comes before {after}")
    first, last = noisy[-1], noisy[0]
    y = x0 * (1 - first.time)
    gained = torch.zeros(len(x0), dtype=x0.dtype, device=x0.device)
    for here, after in pairwise(noisy[::-1]):
        y, more = _stepped(denoiser, y, here.time, after.time, probes)
        gained = gained + more
    # y = x/(α+σ) at the noisiest level, where x is N(0, α²·spread² + σ²)
    std = math.hypot(last.alpha * spread, last.sigma) / (last.alpha + last.sigma)
    d = x0[0].numel()
    prior = -0.5 * (y / std).square().flatten(1).sum(1) - d * (math.log(std) + _HALF_LOG_TAU)
    return prior + gained + d * math.log(1 - first.time)


_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def bits(nats: Tensor, numbers: int) -> Tensor:
    """ln p as −log₂ p for each of so many numbers: bits per dimension."""
    return -nats / (numbers * math.log(2))


def probes_of(noise: Noise, shape: Sequence[int], count: int) -> Tensor:
    """(count, b, *shape) of ±1, each picture's its own."""
    each = [noise.normal(shape, step=k, purpose="probe") for k in range(count)]
    return torch.stack([torch.where(one < 0, -1.0, 1.0) for one in each])


def _stepped(
    denoiser: Denoiser, y: Tensor, t: float, after: float, probes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """From y at time t to `after`: there, and the integral of the divergence (b,)."""
    h, middle = after - t, (t + after) / 2
    a, da = _slope(denoiser, y, t, probes)
    b, db = _slope(denoiser, y + h / 2 * a, middle, probes)
    c, dc = _slope(denoiser, y + h / 2 * b, middle, probes)
    d, dd = _slope(denoiser, y + h * c, after, probes)
    return y + h / 6 * (a + 2 * b + 2 * c + d), h / 6 * (da + 2 * db + 2 * dc + dd)


def _slope(denoiser: Denoiser, y: Tensor, t: float, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """dy/dt at time t, and its divergence (b,)."""
    with torch.enable_grad():
        y = y.detach().requires_grad_(True)
        denoised = denoiser(y, Level(1 - t, t))
        trace = _exact(denoised, y) if probes is None else _estimated(denoised, y, probes)
    d = y[0].numel()
    return (y.detach() - denoised.detach()) / t, (d - trace) / t


def _exact(denoised: Tensor, y: Tensor) -> Tensor:
    """tr ∂D/∂y of each picture (b,)."""
    flat, total = denoised.flatten(1), torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for k in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, k].sum(), y, retain_graph=True)
        total = total + row.flatten(1)[:, k]
    return total


def _estimated(denoised: Tensor, y: Tensor, probes: Tensor) -> Tensor:
    """εᵀ(∂D/∂y)ε, the mean over probes: Hutchinson 1990, as FFJORD (Grathwohl et al. 2019)."""
    total = torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for probe in probes.to(y):
        (row,) = torch.autograd.grad(denoised, y, probe, retain_graph=True)
        total = total + (row * probe).flatten(1).sum(1)
    return total / len(probes)
