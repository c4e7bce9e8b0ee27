"""Downhill: gradients lead a latent to where its judge's loss is low."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.judges import Judge
from limner.noise import Noise
from limner.prompt import Notice
from limner.searches import State
from limner.searches._memory import began, better, copied

__all__ = ["descend"]

# Those that treat every number by itself: others would let one picture's gradient move the next.
_ELEMENTWISE = {
    name.lower(): name
    for name in (
        "Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "ASGD", "NAdam", "RAdam", "RMSprop",
        "Rprop", "SGD",
    )
}  # fmt: skip


def descend(
    generator: Generator,
    judge: Judge,
    *,
    noise: Noise,
    steps: int,
    start: Latent | State | None = None,
    optimiser: str = "adam",
    rate: float = 1.0,
    ramp: tuple[float, float] = (0.0, 0.25),
    ema: float = 0.0,
    clip_norm: float | None = None,
    prior: Callable[[Latent], Tensor] | None = None,
) -> Iterator[State]:
    """Render, ask the judge, step, constrain: one State for each of the steps 1 … `steps`.

    start:      a latent to begin at, or a State to go on from as if there had been no pause
    optimiser:  adam, adamw, sgd …: the elementwise ones of torch.optim, with its defaults
    rate:       factor on the generator's own rates
    ramp:       shares of `steps` over which the rate rises, linearly, and falls, as a cosine
                (Karras et al. 2020, "Analyzing and improving StyleGAN", appendix D)
    ema:        in [0, 1): State.latent is this running average of the latents, whose first ones
                it weighs evenly; `best` remains one that was judged
    clip_norm:  the most that a picture's gradient, of all parts together, may measure
    prior:      latent → (b,), added to the judge's loss: what the latent itself should be like

    A picture whose gradient is not finite stays where it is, with a Notice.
    """
    kind = _kind(optimiser)
    _check(rate, ramp, ema, clip_norm)
    state = began(generator, noise, start)
    others = {name.split("/")[0] for name in state.memory} - {"point", kind.__name__}
    if others:
        raise BadInput(f"the state is of {min(others)}, not of {optimiser}: start from its latent")
    told: set[int] = set()
    for i in range(state.step, steps):
        factor = rate * _ramped(i, steps, ramp)
        point = _below(state.memory, "point") or state.latent
        rates = {name: factor * generator.rates[name] for name in point}
        loss, gradient = _gradient(generator, judge, prior, point, noise, i)
        finite = _finite_rows(gradient)
        _tell(finite, noise, told)
        gradient = _ready(gradient, finite, clip_norm)
        moved, memory = _moved(kind, point, gradient, rates, state.memory)
        moved = copied(generator.constrain(moved))
        latent = after = {name: _chosen(finite, moved[name], point[name]) for name in point}
        if ema > 0:
            latent = _averaged(generator, state.latent, after, min(ema, i / (i + 1)))
            memory |= {f"point/{name}": part for name, part in after.items()}
        state = State(i + 1, latent, loss, *better(point, loss, state), memory)
        yield state


def _kind(optimiser: str) -> type[torch.optim.Optimizer]:
    name = _ELEMENTWISE.get(optimiser.lower())
    if name is None:
        known = ", ".join(_ELEMENTWISE)
        raise BadInput(f"optimiser {optimiser!r}: give one that keeps rows apart, of {known}")
    return getattr(torch.optim, name)


def _check(rate: float, ramp: tuple[float, float], ema: float, clip_norm: float | None) -> None:
    if not 0 < rate < math.inf:
        raise BadInput(f"rate {rate}: give a positive number")
    if not all(0 <= share <= 1 for share in ramp):
        raise BadInput(f"ramp {ramp}: give two shares of the steps, each from 0 to 1")
    if not 0 <= ema < 1:
        raise BadInput(f"ema {ema}: give a number from 0 up to, not including, 1")
    if clip_norm is not None and not clip_norm > 0:
        raise BadInput(f"clip_norm {clip_norm}: give a positive number, or None")


def _ramped(i: int, steps: int, ramp: tuple[float, float]) -> float:
    """The factor on the rate in step i of 0 … steps − 1; never 0."""
    rise, fall = ramp
    up = min(1.0, (i + 1) / (rise * steps)) if rise > 0 else 1.0
    left = min(1.0, (1 - i / steps) / fall) if fall > 0 else 1.0
    return up * (0.5 - 0.5 * math.cos(math.pi * left))


@torch.enable_grad()
def _gradient(
    generator: Generator,
    judge: Judge,
    prior: Callable[[Latent], Tensor] | None,
    point: Latent,
    noise: Noise,
    step: int,
) -> tuple[Tensor, Latent]:
    """Loss (b,) and its gradient by each part.

    The judge's parts meet at the picture, so that no more than one of them is held at a time and
    the generator is gone through once.
    """
    leaves = {name: part.detach().clone().requires_grad_() for name, part in point.items()}
    pictures = generator.render(leaves)
    seen = pictures.detach().requires_grad_()
    loss, slope = torch.zeros_like(seen[:, 0, 0, 0]), torch.zeros_like(seen)
    for part in judge.losses(seen, noise, step):
        slope += torch.autograd.grad(part.sum(), seen)[0]
        loss += part.detach()
    ends, slopes = [pictures], [slope]
    if prior is not None:
        own = prior(leaves)
        loss += own.detach()
        ends, slopes = [pictures, own], [slope, torch.ones_like(own)]
    gradients = torch.autograd.grad(
        ends, list(leaves.values()), slopes, materialize_grads=True, allow_unused=True
    )
    return loss, dict(zip(leaves, gradients))


def _finite_rows(gradient: Latent) -> Tensor:
    """(b,) whether all of a row's numbers are finite."""
    rows = [part.flatten(1).isfinite().all(1) for part in gradient.values()]
    return torch.stack(rows).all(0)


def _tell(finite: Tensor, noise: Noise, told: set[int]) -> None:
    """Warns of each sample once."""
    bad = {sample for sample, good in zip(noise.samples, finite.tolist()) if not good} - told
    if bad:
        told |= bad
        shown = ", ".join(str(sample) for sample in sorted(bad))
        message = f"no finite gradient, so left where they are: samples {shown}"
        warnings.warn(message, Notice, stacklevel=3)


def _chosen(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`yes` where rows (b,) is true, else `no`, both (b, …)."""
    return torch.where(rows.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)


def _ready(gradient: Latent, finite: Tensor, most: float | None) -> Latent:
    """Zeros in the rows that are not finite; rows scaled to a norm of `most` where it is larger.

    The norm is summed in float64, so that it is the same alone and in a batch.
    """
    named = {n: _chosen(finite, part, torch.zeros_like(part)) for n, part in gradient.items()}
    if most is None:
        return named
    squares = [part.double().flatten(1).square().sum(1) for part in named.values()]
    norm = torch.stack(squares).sum(0).sqrt()
    factor = torch.where(norm > most, most / norm, 1.0)
    return {n: p * factor.reshape(-1, *[1] * (p.ndim - 1)).to(p) for n, p in named.items()}


def _moved(
    kind: type[torch.optim.Optimizer],
    point: Latent,
    gradient: Latent,
    rates: dict[str, float],
    memory: dict[str, Tensor],
) -> tuple[Latent, dict[str, Tensor]]:
    """One step of torch's optimiser, and its tensors after it as `<optimiser>/<part>/<name>`.

    It is made anew for each step from what the last State holds, so that going on from a file is
    what happens at every step.
    """
    leaves = copied(point)
    optimiser = kind([{"params": [leaves[n]], "lr": rates[n]} for n in leaves], lr=1.0)  # type: ignore[call-arg]
    for name, leaf in leaves.items():
        leaf.grad = gradient[name]
        kept = _below(memory, f"{kind.__name__}/{name}")
        if kept:
            optimiser.state[leaf] = copied(kept)
    optimiser.step()
    tensors = {
        f"{kind.__name__}/{name}/{key}": torch.as_tensor(value)
        for name, leaf in leaves.items()
        for key, value in optimiser.state[leaf].items()
        if value is not None
    }
    return leaves, tensors


def _below(memory: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands in memory below `<prefix>/`."""
    cut = len(prefix) + 1
    return {name[cut:]: value for name, value in memory.items() if name[:cut] == f"{prefix}/"}


@torch.no_grad()
def _averaged(generator: Generator, average: Latent, new: Latent, kept: float) -> Latent:
    mixed = {name: kept * average[name] + (1 - kept) * new[name] for name in new}
    return copied(generator.constrain(mixed))
