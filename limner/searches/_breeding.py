"""What evolve asks of pymoo: children of a population, and who lives on. Each row by itself.

pymoo's algorithm is made anew for every generation, from the population and its losses alone and
with a seed of the step's own: going on from a file is what happens at every step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.noise import Noise

__all__ = ["Breeder", "Brood", "first_population"]


def first_population(generator: Generator, noise: Noise, latent: Latent, count: int) -> Latent:
    """`latent` and what the generator starts from under other seeds, (b, count, …)."""
    others = [generator.start(Noise(_seed(noise.seed, k), noise.samples)) for k in range(1, count)]
    return {n: torch.stack([p, *(other[n] for other in others)], 1) for n, p in latent.items()}


def _seed(seed: int, k: int) -> int:
    """Of the k-th in a population: 64 bits that no other seed or k is likely to share."""
    return int.from_bytes(hashlib.sha256(f"{seed} {k}".encode()).digest()[:8], "little")


class Breeder:
    """Makes broods of latents like `latent`, (b, …) in each part, within bounds."""

    def __init__(
        self,
        latent: Latent,
        bounds: tuple[float, float] | Mapping[str, tuple[float, float]],
        population: int,
        eta: float,
        mutation: float,
    ) -> None:
        if population < 2 or not 1 <= eta <= 100 or not 0 < mutation <= 1:
            said = f"population {population}, eta {eta}, mutation {mutation}"
            raise BadInput(f"{said}: give at least 2, 1 to 100, and a chance above 0")
        try:
            import pymoo  # noqa: F401
        except ImportError:
            raise BadInput("evolve needs pymoo: pip install 'limner[search]'") from None
        self.population, self.eta, self.mutation = population, eta, mutation
        self.shapes = {name: part.shape[1:] for name, part in latent.items()}
        self.bounds = {name: _bound(bounds, name) for name in latent}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.low, self.high = np.repeat(np.array(list(self.bounds.values())).T, sizes, 1)

    def inside(self, people: Latent) -> Latent:
        """Clamped to the bounds."""
        return {name: part.clamp(*self.bounds[name]) for name, part in people.items()}

    def brood(self, people: Latent, losses: Tensor, noise: Noise, step: int) -> Brood:
        """The children of people (b, p, …) with losses (b, p, 1 or 2)."""
        flat = torch.cat([part.flatten(2).double() for part in self.inside(people).values()], 2)
        halves = noise.uniform((2,), step=step, purpose="evolve").double() * 2**24
        rows = zip(flat.cpu().numpy(), losses.double().cpu().numpy(), halves.long().tolist())
        algorithms = [self._algorithm(x, f, high << 24 | low) for x, f, (high, low) in rows]
        born = torch.from_numpy(np.stack([self._born(each) for each in algorithms]))
        parts = born.split([math.prod(shape) for shape in self.shapes.values()], 2)
        children = {
            name: part.reshape(*part.shape[:2], *shape).to(people[name])
            for part, (name, shape) in zip(parts, self.shapes.items())
        }
        return Brood(algorithms, children)

    def _algorithm(self, x: np.ndarray, f: np.ndarray, seed: int) -> Any:
        """GA or NSGA-II with this population, ready to be asked for children."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.soo.nonconvex.ga import GA
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM

        algorithm = (GA if f.shape[1] == 1 else NSGA2)(
            pop_size=len(x),
            sampling=Population.new(X=x, F=f, place=np.arange(len(x))),
            crossover=SBX(eta=self.eta, prob=1.0),
            mutation=PM(eta=self.eta, prob=1.0, prob_var=self.mutation),
        )
        problem = Problem(n_var=x.shape[1], n_obj=f.shape[1], xl=self.low, xu=self.high)
        algorithm.setup(problem, termination=NoTermination(), seed=seed)
        algorithm.tell(infills=algorithm.ask())
        return algorithm

    def _born(self, algorithm: Any) -> np.ndarray:
        """(p, n), the first ones again where too few are new: none is when all parents are one."""
        children = algorithm.ask()
        new = algorithm.pop.get("X") if children is None else children.get("X")
        return np.resize(new, (self.population, new.shape[1]))


def _bound(
    bounds: tuple[float, float] | Mapping[str, tuple[float, float]], name: str
) -> tuple[float, float]:
    pair = bounds.get(name) if isinstance(bounds, Mapping) else bounds
    if pair is None or not -math.inf < pair[0] < pair[1] < math.inf:
        raise BadInput(f"bounds {pair} of {name!r}: give a lower and a higher number")
    return pair


@dataclass(frozen=True)
class Brood:
    """children (b, p, …) of each part, not yet judged."""

    algorithms: list[Any]
    children: Latent

    def survivors(self, losses: Tensor) -> Tensor:
        """The children's losses (b, p, 1 or 2) → who lives on, (b, p): parents are 0 … p − 1,
        children p … 2p − 1."""
        from pymoo.core.population import Population

        kept = []
        for algorithm, found in zip(self.algorithms, losses.double().cpu().numpy()):
            places = len(found) + np.arange(len(found))
            x = np.zeros((len(found), algorithm.problem.n_var))  # survival looks at losses alone
            algorithm.tell(infills=Population.new(X=x, F=found, place=places))
            kept.append(algorithm.pop.get("place"))
        return torch.from_numpy(np.stack(kept))
