"""Genetic search, without gradients: through pymoo, after CLIP-GLaSS (Galatolo et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.judges import Judge
from limner.noise import Noise
from limner.searches import State
from limner.searches._breeding import Breeder, first_population
from limner.searches._memory import began, better

__all__ = ["evolve"]


def evolve(
    generator: Generator,
    judge: Judge,
    *,
    noise: Noise,
    steps: int,
    start: Latent | State | None = None,
    population: int = 32,
    bounds: tuple[float, float] | Mapping[str, tuple[float, float]] = (-2.0, 2.0),
    second: Judge | None = None,
    eta: float = 3.0,
    mutation: float = 0.5,
) -> Iterator[State]:
    """A population for each picture; one State for each of the generations 1 … `steps`.

    start:       a latent that is one of the first population, or a State to go on from
    population:  latents for each picture; the others of the first one are generator.start's
    bounds:      (lowest, highest) of all numbers in a latent, or of each part's by its name
    second:      another judge: NSGA-II (Deb et al. 2002) then keeps those that no other beats in
                 both; without it the best of parents and children live on
    eta:         how near children are to their parents, in simulated binary crossover (Deb &
                 Agrawal 1995) and in polynomial mutation; larger is nearer
    mutation:    the chance of each number to be mutated

    latent is the population's best by `judge`, and loss its. memory["losses"] (b, population, 1 or
    2) and memory["population/<part>"] (b, population, …) hold all. Every generation is judged under
    the noise of step 0, so that losses compare. A loss that is not finite is the worst there is.
    """
    judges = [judge] if second is None else [judge, second]
    state = began(generator, noise, start)
    breeder = Breeder(state.latent, bounds, population, eta, mutation)
    if isinstance(start, State):
        people, losses = _remembered(start, population, len(judges))
    else:
        people = first_population(generator, noise, state.latent, population)
        people, losses = _judged(generator, judges, noise, breeder.inside(people))
    for i in range(state.step, steps):
        brood = breeder.brood(people, losses, noise, i)
        children, found = _judged(generator, judges, noise, brood.children)
        everyone = {n: torch.cat([part, children[n]], 1) for n, part in people.items()}
        kept = brood.survivors(found)
        people = {n: _rows(part, kept) for n, part in everyone.items()}
        losses = _rows(torch.cat([losses, found], 1), kept)
        state = _state(state, people, losses)
        yield state


def _remembered(state: State, population: int, judges: int) -> tuple[Latent, Tensor]:
    """The population and losses of a State. BadInput unless they are of such a search."""
    losses = state.memory.get("losses", torch.empty(0))
    people = {name: state.memory.get(f"population/{name}") for name in state.latent}
    kept = {name: part for name, part in people.items() if part is not None}
    if losses.shape[1:] != (population, judges) or kept.keys() != people.keys():
        raise BadInput(
            f"the state holds no population of {population} under {judges} judges: go on with what "
            "it was begun with, or start from its latent"
        )
    return kept, losses


@torch.no_grad()
def _judged(
    generator: Generator, judges: Sequence[Judge], noise: Noise, people: Latent
) -> tuple[Latent, Tensor]:
    """People (b, p, …) → constrained, and losses (b, p, judges).

    One of each picture's population at a time, so that judges meet the rows they know.
    """
    constrained, losses = [], []
    for k in range(next(iter(people.values())).shape[1]):
        latent = generator.constrain({name: part[:, k] for name, part in people.items()})
        pictures = generator.render(latent)
        found = [sum(judge.losses(pictures, noise, 0)) for judge in judges]
        constrained.append(latent)
        losses.append(torch.stack([torch.as_tensor(each) for each in found], 1))
    loss = torch.stack(losses, 1)
    loss = torch.where(loss.isfinite(), loss, torch.finfo(loss.dtype).max)
    return {name: torch.stack([one[name] for one in constrained], 1) for name in people}, loss


def _rows(part: Tensor, kept: Tensor) -> Tensor:
    """(b, n, …) and places (b, p) → (b, p, …)."""
    return part[torch.arange(len(part), device=part.device)[:, None], kept.to(part.device)]


def _state(state: State, people: Latent, losses: Tensor) -> State:
    best = losses[:, :, 0].argmin(1, keepdim=True)
    latent = {name: _rows(part, best)[:, 0] for name, part in people.items()}
    loss = _rows(losses, best)[:, 0, 0]
    memory = {f"population/{name}": part for name, part in people.items()} | {"losses": losses}
    return State(state.step + 1, latent, loss, *better(latent, loss, state), memory)
