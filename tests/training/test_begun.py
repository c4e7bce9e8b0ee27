"""Adapters and upscalers that go on from weights that are there already."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limner.data._open import open_data
from limner.errors import BadInput
from limner.models.upscaler import open_upscaler
from limner.training.decoder import decoder
from limner.training.inpainting import inpainting
from limner.training.loop import Plan
from limner.training.regions import regions
from limner.training.student import student
from limner.training.upscaler import upscaler

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(steps=1, batch_size=4, learning_rate=1e-2, warmup_steps=1, ema=0.5, seed=3)
STILL = replace(PLAN, learning_rate=1e-30, weight_decay=0.0, seed=4)  # begins, and stays there
KINDS = ("inpainting", "regions", "student", "decoder")
Get = Callable[[str], Path]
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def train(sd_folder: Get, clip_folder: Path) -> Run:
    """train(kind, run, plan, adapter="", …) → the model's folder."""
    base = str(sd_folder("own"))
    scenes = open_data("world:scenes", size=64)
    recipes: dict[str, Any] = {
        "inpainting": partial(inpainting, scenes, latents=8, rank=2),
        "regions": partial(regions, scenes, latents=8, rank=2, width=3),
        "decoder": partial(decoder, Bars(16, 32), clip=str(clip_folder), latents=8, rank=2),
        "student": partial(student, Bars(16, 32), model=base, segments=2, intervals=4, rank=2),
    }

    def run(
        kind: str,
        place: Path,
        plan: Plan,
        adapter: Any = None,
        stop: bool = False,
        **more: Any,
    ) -> Path:
        start = f"{base}+{adapter}" if adapter else base
        begun = {} if kind == "student" and not adapter else {"start": start}
        steps = recipes[kind](place, plan, **{**begun, **more})
        next(steps)
        steps.close() if stop else list(steps)
        return place / "model"

    return run


@pytest.fixture(scope="module")
def first(train: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = train(kind, tmp_path_factory.mktemp(kind) / "run", PLAN)
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_goes_on_from_another_s_weights(
    train: Run, first: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    """A step that moves nothing leaves what it began with; one that does begins there, too."""
    wanted = load_file(first(kind) / "adapter.safetensors")
    assert any(name.endswith("lora_B.weight") and bool(w.any()) for name, w in wanted.items())
    still = load_file(train(kind, tmp_path / "still", STILL, first(kind)) / "adapter.safetensors")
    assert still.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(still[name], weight, atol=1e-20, rtol=0, msg=name)
    moved = load_file(train(kind, tmp_path / "moved", PLAN, first(kind)) / "adapter.safetensors")
    assert any(not torch.equal(moved[name], weight) for name, weight in wanted.items())


def test_a_higher_rank_goes_on_from_the_lower_one(
    train: Run, first: Callable[[str], Path], tmp_path: Path
) -> None:
    """What is added begins at nothing: each layer's change is what it was."""
    wanted = load_file(first("student") / "adapter.safetensors")
    model = train("student", tmp_path / "more", STILL, first("student"), rank=3)
    assert json.loads((model / "adapter.json").read_text())["rank"] == 3
    more = load_file(model / "adapter.safetensors")
    for name in wanted:
        if name.endswith("lora_B.weight"):
            down = name.replace("lora_B", "lora_A")
            assert more[name].shape[1] == more[down].shape[0] == 3
            change = more[name].flatten(1) @ more[down].flatten(1)
            before = wanted[name].flatten(1) @ wanted[down].flatten(1)
            torch.testing.assert_close(change, before, msg=name)


def test_a_begun_training_resumes_to_the_same(
    train: Run, first: Callable[[str], Path], tmp_path: Path
) -> None:
    plan = replace(PLAN, steps=2)
    whole = train("student", tmp_path / "whole", plan, first("student"))
    train("student", tmp_path / "parts", plan, first("student"), stop=True)
    assert not (tmp_path / "parts" / "model").exists()
    resumed = train("student", tmp_path / "parts", plan, first("student"), resume=True)
    files = [folder / "adapter.safetensors" for folder in (whole, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_student_of_more_steps_may_become_one_of_fewer(
    train: Run, first: Callable[[str], Path], tmp_path: Path
) -> None:
    model = train("student", tmp_path / "one", STILL, first("student"), segments=1)
    assert json.loads((model / "adapter.json").read_text())["steps"] == 1


def test_what_does_not_fit_is_named(
    train: Run, first: Callable[[str], Path], tmp_path: Path, sd_folder: Get
) -> None:
    other = tmp_path / "other"
    shutil.copytree(first("regions"), other)
    card = json.loads((other / "adapter.json").read_text())
    (other / "adapter.json").write_text(json.dumps(card | {"base": "no"}))
    worded = tmp_path / "worded"
    shutil.copytree(first("regions"), worded)
    (worded / "adapter.json").write_text(json.dumps(card | {"rank": "two"}))
    damaged = tmp_path / "damaged"
    shutil.copytree(first("regions"), damaged)
    tensors = load_file(damaged / "adapter.safetensors")
    tensors.pop("phrase.bias")
    save_file(tensors, damaged / "adapter.safetensors")
    run = partial(train, place=tmp_path / "run", plan=PLAN)
    for message, asked in {
        "is for regions: give one that limner train student": partial(
            run, "student", adapter=first("regions")
        ),
        "is for student: give one that limner train inpainting": partial(
            run, "inpainting", adapter=first("student")
        ),
        "has rank 2, more than 1: give --rank 2": partial(
            run, "student", adapter=first("student"), rank=1
        ),
        "says rank = 'two': expected a number": partial(run, "regions", adapter=worded),
        "made for another model": partial(run, "regions", adapter=other),
        "no adapter 'gone'": partial(run, "decoder", adapter="gone"),
        "differs from what is to be trained in phrase.bias": partial(
            run, "regions", adapter=damaged
        ),
        "give the options": partial(run, "decoder", adapter=first("decoder"), tokens=2),
    }.items():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        with pytest.raises(BadInput, match=message):
            asked()
    with pytest.raises(BadInput, match="no student in"):
        train("student", tmp_path / "run", PLAN, start=str(sd_folder("own")))
    card = json.loads((first("decoder") / "adapter.json").read_text())
    shutil.copytree(first("decoder"), tmp_path / "eye")
    told = card | {"clip": {"name": "x", "fingerprint": "another"}}
    (tmp_path / "eye" / "adapter.json").write_text(json.dumps(told))
    with pytest.raises(BadInput, match="another CLIP"):
        run("decoder", adapter=tmp_path / "eye")


def test_an_upscaler_goes_on(tmp_path: Path) -> None:
    asked = partial(upscaler, Bars(24, 64), crop=16, crops=48)
    list(asked(tmp_path / "a", PLAN, width=8))
    begun = str(tmp_path / "a" / "model")
    list(asked(tmp_path / "b", STILL, start=begun))
    first, second = (open_upscaler(tmp_path / name / "model") for name in "ab")
    assert second.shape == first.shape and second.spread == first.spread
    for name, weight in first.network.state_dict().items():
        other = second.network.state_dict()[name]
        torch.testing.assert_close(other, weight, atol=1e-20, rtol=0, msg=name)
    with pytest.raises(BadInput, match="no model at"):
        list(asked(tmp_path / "c", PLAN, start="no/where at all"))
