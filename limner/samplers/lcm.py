"""Multistep consistency sampling, for networks distilled to say x0 at once (Luo et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from limner.denoisers import Denoiser
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import State
from limner.samplers._steps import steps

__all__ = ["lcm"]


def lcm(
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    start: int = 0,
    previous: Tensor | None = None,
) -> Iterator[State]:
    """x' = α'·x0 + σ'·z: x0 from the network, then noised anew (Song et al. 2023, algorithm 1).

    2 to 8 steps. With a network that was not distilled the pictures are blurred. `previous` is not
    needed.
    """
    for i, level, after in steps(levels, start):
        denoised = denoiser(x, level)
        x = after.alpha * denoised
        if after.sigma > 0:
            z = noise.normal(x.shape[1:], step=i, purpose="step").to(x)
            x = x + after.sigma * z
        yield State(x, denoised, after, i + 1)
