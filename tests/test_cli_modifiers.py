"""`limner modifiers`, and the commands that measure modifiers and materials: what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.measures import materials as materials_room
from limner.measures import modifiers as modifiers_room
from limner.measures._share import Share
from limner.measures.materials import Looked, Materials
from limner.measures.modifiers import Measured
from limner.tasks.modifiers import CATALOGUE, Effect


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the measure was given, which found golden to do what it says, and artstation nothing."""
    given: dict[str, Any] = {}
    effects = {
        "golden": Effect(0.21, 0.5, 0.04, 0.75),
        "trending on artstation": Effect(0.01, 0.02, 0.1, 1.0, ("trending", "artstation")),
    }
    model, clip = {"name": "m", "fingerprint": "f" * 64}, {"name": "c", "fingerprint": "e"}
    found = Measured(model, clip, ("cat", "apple"), 6, 3, Share(1, 2), effects)
    monkeypatch.setattr(
        modifiers_room, "modifiers", lambda **said: given.update(said) or found
    )  # fmt: skip
    return given


def test_what_is_measured_is_printed_kept_and_read(
    run: Any, measured: dict[str, Any], tmp_path: Path
) -> None:
    said = ("measure", "modifiers", "--model", "m", "--prompts", 2, "--seed", 3, "-o", "kept")
    status, out, err = run(*said)
    assert (status, err) == (0, "")
    watch = measured.pop("watch")
    assert callable(watch) and measured == dict(
        model="m", clip="embedded", prompts=2, steps=None, seed=3, folder=Path("kept")
    )
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "material a golden {} 0.210 0.50 ± 0.04 75%" in lines
    assert "material a wooden {} not measured" in lines
    unseen = "0.010 0.02 ± 0.10 100% never seen: trending artstation"
    assert f"quality {{a}}, trending on artstation {unseen}" in lines
    assert "kept without a modifier: 50%" in lines
    status, kept, _ = run(*said, "--json")
    told = json.loads(kept)
    command = "limner measure modifiers --model m --clip embedded --prompts 2 --steps 6 --seed 3"
    assert told["command"] == command and len(told["date"]) == len("2026-01-01")
    (tmp_path / "effects.json").write_text(kept)
    assert run("modifiers", "--from", "effects.json")[1] == out
    status, again, _ = run("modifiers", "--from", "effects.json", "--json")
    read = json.loads(again)
    assert status == 0 and read["command"] == command and len(read["modifiers"]) == len(CATALOGUE)
    assert {row["name"]: row.get("direction") for row in read["modifiers"]}["golden"] == 0.5
    assert "template" in read["modifiers"][0] and "kind" in read["modifiers"][0]


def test_materials(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = (
        Looked("a wooden cat", "wooden", True, False, True, 0.004, 0.2, True),
        Looked("a golden cat", "golden", False, False, True, 0.008, 0.1, True),
    )
    given: dict[str, Any] = {}
    found = Materials(("second",), looked, 12.0)
    monkeypatch.setattr(materials_room, "materials", lambda **said: given.update(said) or found)
    status, out, _ = run("measure", "materials", "--count", 2, "--strength", 0.7)
    assert status == 0 and given["count"] == 2 and given["strength"] == 0.7
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "wooden 100.0% ± 0.0% (1 of 1)" in lines and "golden 0.0% ± 0.0% (0 of 1)" in lines
    assert "in all 50.0% ± 35.4% (1 of 2)" in lines
    assert "mean change: 0.0060 outside the object, 0.1500 in it" in lines
    assert lines[-1] == "12.0 s for an edit"
    told = json.loads(run("measure", "materials", "--json")[1])
    assert told["outside"] == pytest.approx(0.006) and told["edits"][0]["there"] is True


@pytest.mark.parametrize("said, message", [
    (("modifiers", "--from", "none.json"), "cannot read effects from 'none.json'"),
    (("modifiers", "--model", "other"), "effects on 'other' are not known"),
    (("measure", "modifiers", "--prompts", "1"), "prompts 1"),
    (("measure", "modifiers", "--model", "./nowhere"), "no model at"),
    (("measure", "materials", "--count", "0"), "count 0"),
    (("measure", "materials", "--clip", "./nowhere"), "no model at"),
])  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(run: Any, said: tuple[str, ...], message: str) -> None:
    status, out, err = run(*said)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1
