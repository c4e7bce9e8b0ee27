"""A generator and judges of a few lines, which treat every number by itself."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from limner.searches import State


@dataclass
class Toy:
    """Two parts, of 3·5·7 numbers and of 3: a picture is their sum, squeezed into [0, 1]."""

    rates = {"cells": 0.1, "tint": 0.03}  # noqa: RUF012

    def start(self, noise):
        return {"cells": noise.normal((3, 5, 7)), "tint": noise.normal((3,), purpose="tint")}

    def render(self, latent):
        return (latent["cells"] + latent["tint"][:, :, None, None]).tanh() / 2 + 0.5

    def constrain(self, latent):
        return {"cells": latent["cells"].clamp(-3, 3), "tint": latent["tint"]}


@dataclass
class Point:
    """A picture of one pixel whose colour is the latent itself: a search in three dimensions."""

    rates = {"x": 0.1}  # noqa: RUF012

    def start(self, noise):
        return {"x": noise.normal((3,))}

    def render(self, latent):
        return latent["x"][:, :, None, None]

    def constrain(self, latent):
        return latent


@dataclass
class Sphere:
    """‖picture − at‖², in so many parts; each step's noise is added as a slope of this size."""

    at: float = 0.7
    parts: int = 1
    restless: float = 0.0

    def losses(self, pictures, noise, step):
        for part in range(self.parts):
            slope = noise.normal(pictures.shape[1:], step=step, purpose=f"slope {part}")
            apart = (pictures - self.at).square() + self.restless * slope * pictures
            yield apart.flatten(1).sum(1, dtype=torch.float64).float() / self.parts


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def point():
    return Point()


@pytest.fixture
def sphere():
    return Sphere


@pytest.fixture
def same():
    """same(state, other) → whether two States agree to the last bit."""

    def named(state: State):
        groups = {"latent": state.latent, "best": state.best, "memory": state.memory}
        flat = {f"{group} {n}": v for group, each in groups.items() for n, v in each.items()}
        return flat | {"loss": state.loss, "best_loss": state.best_loss}

    def compared(state: State, other: State):
        here, there = named(state), named(other)
        return (
            state.step == other.step
            and here.keys() == there.keys()
            and all(torch.equal(here[n], there[n]) for n in here)
            and all(here[n].dtype == there[n].dtype for n in here)
        )

    return compared
