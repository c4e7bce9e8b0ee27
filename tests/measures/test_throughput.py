from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from limner.errors import BadInput
from limner.measures.throughput import Speed, Throughput, rounds_of, throughput
from limner.picture import Picture
from limner.tasks.generate import generate

Get = Callable[[str], Path]


def test_contenders_take_turns_and_only_later_rounds_count() -> None:
    now, calls = [0.0], []

    def contender(name: str, first: float, later: float):
        def paint(batch: int) -> None:
            calls.append((name, batch))
            now[0] += first if calls.count((name, batch)) == 1 else later * batch

        return paint

    told: list[tuple[int, int]] = []
    contenders = {"a": contender("a", 50, 1), "b": contender("b", 7, 2)}
    speeds = rounds_of(contenders, (1, 4), 3, lambda *done: told.append(done), lambda: now[0])
    assert speeds["a"][4] == Speed(4, 50, (4, 4, 4)) and speeds["b"][1] == Speed(1, 7, (2, 2, 2))
    assert speeds["a"][4].pictures_per_second == 1 and speeds["b"][4].pictures_per_second == 0.5
    assert calls[:8] == [(n, b) for turn in ("ab", "ba") for b in (1, 4) for n in turn]
    assert told[-1] == (16, 16) and len(told) == 16


def test_the_ratio_is_the_median_over_rounds_of_how_many_times_as_fast() -> None:
    ours, theirs = Speed(2, 9, (1.0, 1.0, 4.0)), Speed(2, 9, (3.0, 2.0, 4.0))
    found = Throughput(
        {"limner": {2: ours}, "diffusers float32": {2: theirs}},
        60.0, "m", 20, 4.0, 128, "float32", "cpu", 1,
    )  # fmt: skip
    assert found.ratio("limner", "diffusers float32", 2) == 2.0
    assert found.ratio("diffusers float32", "limner", 2) == 0.5
    rows = found.told()["speeds"]
    assert rows[1]["slower_than"] == {"limner": 2.0} and rows[0]["slower_than"] == {}
    assert rows[0]["pictures_per_second"] == 2.0


def test_a_run_beside_diffusers(sd_folder: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes a minute: here it is only asked for."""
    asked: list[bool] = []

    def quick(prompt: str, *, compile: bool = False, **said: Any) -> list[Picture]:
        asked.append(compile)
        return generate(prompt, **said)

    monkeypatch.setattr(sys.modules["limner.tasks.generate"], "generate", quick)
    found = throughput(
        sd_folder("own"), batches=(1, 2), steps=1, rounds=1, compile=True,
        precision="float32", pipelines=("float32",),
    )  # fmt: skip
    names = ["limner", "limner compiled", "diffusers float32"]
    assert list(found.speeds) == names
    assert set(asked) == {True, False}
    for each in found.speeds.values():
        assert {batch: len(speed.seconds) for batch, speed in each.items()} == {1: 1, 2: 1}
        assert all(speed.first > 0 and min(speed.seconds) > 0 for speed in each.values())
    assert found.psnr == math.inf  # what is not really compiled is the same to the last bit
    assert (found.size, found.steps, found.precision) == (64, 1, "float32")
    assert found.guidance_scale == 3.0 and found.threads == torch.get_num_threads()


def test_the_agreement_is_the_worse_contender_s_mean_psnr(monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(level: float) -> Callable[[int], list[Picture]]:
        return lambda batch: [Picture(torch.full((3, 8, 8), level)) for _ in range(batch)]

    module = sys.modules["limner.measures.throughput"]
    monkeypatch.setattr(module, "_limner", lambda *said: flat(0.5))
    half, exact = (SimpleNamespace(dtype=each) for each in (torch.bfloat16, torch.float32))
    names = ("limner", "limner compiled", "diffusers float32")
    contenders = dict(zip(names, (flat(0.51), flat(0.6), flat(0.9))))
    assert module._agreement(contenders, exact, half, {}) == pytest.approx(20, abs=1e-3)
    del contenders["limner compiled"]
    assert module._agreement(contenders, exact, half, {}) == pytest.approx(40, abs=1e-3)
    assert module._agreement(contenders, exact, exact, {}) == math.inf


def test_what_it_refuses(sd_folder: Get) -> None:
    for said, message in (
        ({"pipelines": ["int8"]}, "choose from float32, bfloat16"),
        ({"batches": []}, "no batches"),
        ({"batches": [9]}, "batch 9: give a whole number from 1 to 8"),
        ({"rounds": 0}, "rounds 0"),
        ({"steps": 0}, "steps 0"),
    ):
        with pytest.raises(BadInput, match=message):
            throughput(sd_folder("own"), **said)  # type: ignore[arg-type]
