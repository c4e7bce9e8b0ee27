"""What every search of the room owes: going on after a pause, and files that keep it."""

from __future__ import annotations

import inspect
import json

import pytest
import torch
from safetensors.torch import save_file

from limner._rooms import find, names
from limner.errors import BadInput
from limner.noise import Noise
from limner.searches import Search, State
from limner.searches._memory import load, save

SEARCHES = {
    "descend": [
        {}, {"ema": 0.9}, {"optimiser": "sgd"}, {"optimiser": "nadam", "clip_norm": 0.5},
        {"optimiser": "rprop", "ema": 0.5}, {"optimiser": "asgd"},
    ],
    "evolve": [{"population": 6}, {"population": 6, "second": True}],
}  # fmt: skip
CASES = [(name, options) for name, each in SEARCHES.items() for options in each]
every = pytest.mark.parametrize("name, options", CASES, ids=str)
NOISE = Noise(3, [0, 4])


def run(name, options, toy, sphere, steps=5, start=None):
    options = {**options, "second": sphere(0.2)} if "second" in options else options
    search = find("searches", name)
    return list(search(toy, sphere(restless=0.5), noise=NOISE, steps=steps, start=start, **options))


def test_are_those_of_this_page():
    assert names("searches") == list(SEARCHES)


@pytest.mark.parametrize("name", SEARCHES)
def test_takes_what_the_protocol_says(name):
    asked = dict(inspect.signature(Search.__call__).parameters)
    given = inspect.signature(find("searches", name)).parameters
    for key in set(asked) - {"self"}:
        assert given[key].kind == asked[key].kind and given[key].default == asked[key].default
    for key in set(given) - set(asked):
        assert given[key].default is not inspect.Parameter.empty


@every
def test_yields_a_state_a_step(name, options, toy, sphere):
    states = run(name, options, toy, sphere)
    assert [state.step for state in states] == [1, 2, 3, 4, 5]
    for state in states:
        assert state.loss.shape == state.best_loss.shape == (2,)
        for latent in (state.latent, state.best):
            assert {n: p.shape for n, p in latent.items()} == {
                "cells": (2, 3, 5, 7), "tint": (2, 3)
            }  # fmt: skip
        assert all(isinstance(value, torch.Tensor) for value in state.memory.values())
        assert bool((state.best_loss <= state.loss).all())


@every
def test_goes_on_from_any_state_bit_for_bit(name, options, toy, sphere, same, tmp_path):
    states = run(name, options, toy, sphere)
    for state in states[:-1]:
        kept = load(save(tmp_path / "state", state))
        assert same(kept, state)
        rest = run(name, options, toy, sphere, start=kept)
        assert len(rest) == 5 - state.step
        assert all(same(now, then) for now, then in zip(rest, states[state.step :]))
    assert run(name, options, toy, sphere, start=states[-1]) == []


@every
def test_a_state_stays_as_it_was_yielded(name, options, toy, sphere, same):
    search = run(name, options, toy, sphere)
    again = [copied(state) for state in run(name, options, toy, sphere)]
    assert all(same(one, other) for one, other in zip(search, again))


def copied(state):
    clone = lambda named: {n: v.clone() for n, v in named.items()}  # noqa: E731
    return State(
        state.step, clone(state.latent), state.loss.clone(), clone(state.best),
        state.best_loss.clone(), clone(state.memory),
    )  # fmt: skip


@pytest.mark.parametrize("name", SEARCHES)
def test_refuses_a_start_of_other_rows(name, toy, sphere):
    with pytest.raises(BadInput, match="3 rows for 2 samples"):
        run(name, {}, toy, sphere, start=toy.start(Noise(0, [0, 1, 2])))
    (state, *_) = find("searches", name)(toy, sphere(), noise=Noise(0, [0, 1, 2]), steps=1)
    with pytest.raises(BadInput, match="3 rows for 2 samples"):
        run(name, {}, toy, sphere, start=state)


def test_refuses_files_that_are_no_whole_search(toy, sphere, tmp_path):
    path = save(tmp_path / "state", run("descend", {}, toy, sphere, steps=1)[0])
    data = path.read_bytes()
    for broken in (b"", data[:7], data[:100], data[:-1], data + b"x", b"\xff" * 64):
        path.write_bytes(broken)
        with pytest.raises(BadInput, match="cannot read the search"):
            load(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot read the search"):
            load(missing)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda t, m: m.clear(), "no search of this limner"),
        (lambda t, m: m.update({"limner search": "[]"}), "no search of this limner"),
        (lambda t, m: m.update({"limner search": "{"}), "cannot read"),
        (lambda t, m: m.update({"limner search": json.dumps({"version": 2})}), "no search of"),
        (lambda t, m: m.update({"limner search": json.dumps({"version": 1})}), "not whole"),
        (lambda t, m: t.pop("loss"), "not whole"),
        (lambda t, m: t.pop("best/cells"), "not whole"),
        (lambda t, m: t.update({"latent/cells": torch.zeros(3, 3, 5, 7)}), "not whole"),
        (lambda t, m: t.update({"best_loss": torch.zeros(())}), "not whole"),
        (lambda t, m: [t.pop(n) for n in list(t) if n.startswith(("latent", "best/"))],
         "not whole"),
    ],
)  # fmt: skip
def test_refuses_files_that_say_something_else(change, match, toy, sphere, tmp_path):
    from safetensors import safe_open

    path = save(tmp_path / "state", run("descend", {}, toy, sphere, steps=1)[0])
    with safe_open(path, "pt") as file:
        tensors, said = {n: file.get_tensor(n) for n in file.keys()}, file.metadata()  # noqa: SIM118
    change(tensors, said)
    save_file(tensors, path, said or None)
    with pytest.raises(BadInput, match=match):
        load(path)


def test_a_save_that_fails_leaves_the_last_one(toy, sphere, same, tmp_path, monkeypatch):
    first, second = run("descend", {}, toy, sphere, steps=2)
    path = save(tmp_path / "state", first)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(BadInput, match="No space left"):
        save(path, second)
    assert same(load(path), first) and [file.name for file in tmp_path.iterdir()] == ["state"]
