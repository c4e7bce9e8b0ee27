"""evolve on functions whose minimum is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from limner.errors import BadInput
from limner.noise import Noise
from limner.searches._breeding import Breeder
from limner.searches.evolve import evolve

NOISE = Noise(3, [0, 4])


def test_finds_the_minimum_of_a_shifted_sphere(point, sphere):
    states = list(evolve(point, sphere(0.7), noise=NOISE, steps=60, population=24))
    assert [state.step for state in states] == list(range(1, 61))
    torch.testing.assert_close(states[-1].best["x"], torch.full((2, 3), 0.7), atol=0.03, rtol=0)
    losses = torch.stack([state.loss for state in states])
    assert bool((losses.diff(dim=0) <= 0).all())  # the best always lives on
    for state in (states[0], states[-1]):
        (again,) = sphere(0.7).losses(point.render(state.latent), NOISE, 0)
        assert torch.equal(again, state.loss)
        assert torch.equal(state.loss, state.memory["losses"][..., 0].min(1).values)


def test_nsga2_s_front_is_not_dominated_and_spans_both_ends(point, sphere):
    first, second = sphere(0.7), sphere(-0.5)
    *_, end = evolve(point, first, noise=NOISE, steps=60, population=24, second=second, eta=15.0)
    for row, losses in zip(end.memory["population/x"], end.memory["losses"].double().numpy()):
        assert losses.shape == (24, 2)
        beaten = (losses[:, None] <= losses).all(2) & (losses[:, None] < losses).any(2)
        assert not beaten.any()
        # The front of two spheres is the straight line between their middles.
        assert float((row - row.mean(1, keepdim=True)).abs().mean()) < 0.1
        assert losses.min(0).max() < 0.1 and losses.max(0).min() > 3
    torch.testing.assert_close(end.latent["x"], torch.full((2, 3), 0.7), atol=0.2, rtol=0)


def test_all_is_within_bounds_and_constrained(toy, sphere):
    bounds = {"cells": (-9.0, 9.0), "tint": (-0.1, 0.2)}
    *_, end = evolve(toy, sphere(), noise=NOISE, steps=3, population=6, bounds=bounds)
    people = {name: end.memory[f"population/{name}"] for name in ("cells", "tint")}
    assert people["cells"].shape == (2, 6, 3, 5, 7) and people["tint"].shape == (2, 6, 3)
    assert float(people["cells"].abs().max()) <= 3  # which is Toy's constraint
    assert float(people["tint"].min()) >= -0.1001 and float(people["tint"].max()) <= 0.2001
    for k in range(6):  # each with its own loss
        latent = {name: part[:, k] for name, part in people.items()}
        (loss,) = sphere().losses(toy.render(latent), NOISE, 0)
        assert torch.equal(loss, end.memory["losses"][:, k, 0])


def test_begins_with_the_start_among_others(point, sphere):
    start = {"x": torch.full((2, 3), 0.7)}
    (state,) = evolve(point, sphere(0.7), noise=NOISE, steps=1, population=4, start=start)
    assert torch.equal(state.latent["x"], start["x"]) and float(state.loss.max()) == 0
    (state,) = evolve(point, sphere(0.7), noise=NOISE, steps=1, population=4)
    assert len(state.memory["population/x"].unique(dim=1)[0]) == 4


def test_every_sample_and_every_step_breeds_otherwise():
    people = {"x": NOISE.uniform((6, 3))[:1].repeat(2, 1, 1)}
    breeder = Breeder({"x": people["x"][:, 0]}, (-2.0, 2.0), 6, 3.0, 0.5)
    losses = torch.arange(6.0).repeat(2, 1)[..., None]
    first, second = (breeder.brood(people, losses, NOISE, i).children["x"] for i in (0, 1))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], second[0])


def test_rows_are_the_same_alone_and_in_a_batch(toy, sphere):
    judge, options = sphere(restless=0.5), {"steps": 3, "population": 6}
    *_, together = evolve(toy, judge, noise=Noise(3, [5, 0, 8]), **options)
    for row, sample in enumerate([5, 0, 8]):
        *_, alone = evolve(toy, judge, noise=Noise(3, [sample]), **options)
        for name in alone.latent:
            assert torch.equal(alone.latent[name][0], together.latent[name][row])
        assert torch.equal(alone.memory["losses"][0], together.memory["losses"][row])


def test_the_global_generators_are_left_alone(point, sphere):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    list(evolve(point, sphere(), noise=NOISE, steps=2, population=4))
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_a_loss_that_is_not_finite_is_the_worst(point, sphere):
    class Gap:
        def losses(self, pictures, noise, step):
            for part in sphere(0.7).losses(pictures, noise, step):
                yield torch.where(pictures[:, 0, 0, 0] > 0.5, torch.nan, part)

    for second in (None, sphere(-1.0)):
        *_, end = evolve(point, Gap(), noise=NOISE, steps=25, population=16, second=second)
        assert bool(end.loss.isfinite().all()) and float(end.loss.max()) < 0.5
        assert float(end.latent["x"][:, 0].max()) <= 0.5


@pytest.mark.parametrize("mutation", [0.5, 1e-9])
def test_a_population_of_one_kind_goes_on(mutation, point, sphere):
    """Where no child is new, nothing breaks."""

    class Still(type(point)):
        def constrain(self, latent):
            return {"x": torch.zeros_like(latent["x"])}

    *_, end = evolve(Still(), sphere(0.7), noise=NOISE, steps=4, population=4, mutation=mutation)
    assert end.memory["population/x"].shape == (2, 4, 3)
    torch.testing.assert_close(end.loss, torch.full((2,), 3 * 0.49))


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"population": 1}, "population 1"),
        ({"eta": 0.5}, "eta 0.5"),
        ({"mutation": 0.0}, "mutation 0.0"),
        ({"bounds": (1.0, -1.0)}, "bounds"),
        ({"bounds": {"y": (0.0, 1.0)}}, "bounds None of 'x'"),
    ],
)
def test_refuses(wrong, match, point, sphere):
    with pytest.raises(BadInput, match=match):
        list(evolve(point, sphere(), noise=NOISE, steps=1, **wrong))


def test_refuses_the_state_of_another_population(point, sphere):
    (state,) = evolve(point, sphere(), noise=NOISE, steps=1, population=4)
    for wrong in ({"population": 6}, {"population": 4, "second": sphere()}):
        with pytest.raises(BadInput, match="holds no population"):
            list(evolve(point, sphere(), noise=NOISE, steps=2, start=state, **wrong))


def test_says_how_to_get_pymoo(monkeypatch, point, sphere):
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(BadInput, match=r"limner\[search\]"):
        list(evolve(point, sphere(), noise=NOISE, steps=1))
