"""A sampler that goes back up and down again, until what is painted fits what is known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice

from torch import Tensor

from limner.denoisers import Denoiser
from limner.errors import BadInput
from limner.levels import Level
from limner.noise import Noise
from limner.samplers import Sampler, State

__all__ = ["jump_of", "journey", "resampled"]

_JUMPS = 25  # in a run: the paper's jumps are 10 of 250 steps


def resampled(
    sampler: Sampler,
    denoiser: Denoiser,
    x: Tensor,
    levels: Sequence[Level],
    *,
    noise: Noise,
    rounds: int,
    jump: int | None = None,
) -> Iterator[State]:
    """RePaint's resampling (Lugmayr et al. 2022, section 4.2 and algorithm 1), for any sampler.

    rounds:  how often each stretch of the way is gone; 1 is the sampler alone
    jump:    steps of a stretch; `jump_of` their number when not given

    Up it goes by the forward process, x' = a·x + √(σ'² − a²·σ²)·z with a = α'/α. A state's `step`
    is where in `levels` it is: it falls with each jump. After one, methods of several steps
    begin anew; and each time its noise is other noise.
    """
    if rounds == 1:
        yield from sampler(denoiser, x, levels, noise=noise)
        return
    at, turn = 0, 0
    previous: Tensor | None = None
    for target in journey(len(levels) - 1, rounds, jump or jump_of(len(levels) - 1)):
        now = _turned(noise, turn)
        if target > at:
            run = sampler(denoiser, x, levels, noise=now, start=at, previous=previous)
            (state,) = islice(run, 1)
            x, previous = state.x, state.denoised
            yield state
        else:
            here, there = levels[at], levels[target]
            a = there.alpha / here.alpha
            added = math.sqrt(max(there.sigma**2 - (a * here.sigma) ** 2, 0.0))
            z = now.normal(x.shape[1:], step=at, purpose="jump").to(x)
            x, previous, turn = a * x + added * z, None, turn + 1
        at = target


def jump_of(steps: int) -> int:
    """A 25th of the steps, as in the paper; at least one."""
    return max(1, round(steps / _JUMPS))


def journey(steps: int, rounds: int, jump: int) -> list[int]:
    """The places in a list of `steps` + 1 levels, one after the other: 1 further by a step, `jump`
    back by a jump. All jumps are from levels with noise, the last one from the least.

    journey(3, 2, 1) is [1, 0, 1, 2, 1, 2, 3].
    """
    if rounds < 1 or not 1 <= jump <= steps:
        raise BadInput(f"{rounds} rounds of {jump} in {steps} steps: give at least 1, and no more")
    left = dict.fromkeys(range(steps - 1, jump - 1, -jump), rounds - 1)
    places, at = [], 0
    while at < steps:
        at += 1
        places.append(at)
        if left.get(at, 0):
            left[at] -= 1
            at -= jump
            places.append(at)
    return places


def _turned(noise: Noise, turn: int) -> Noise:
    """Other noise for each turn, a function of the seed and the turn alone; at 0 the noise."""
    if turn == 0:
        return noise
    seed = hashlib.sha256(f"{noise.seed} turn {turn}".encode()).digest()[:8]
    return Noise(int.from_bytes(seed, "little"), noise.samples)
