"""textdiff: what it asks for, and that its eye sees true changes and none where there is none."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import load
from limner.measures._eye import Eye
from limner.measures.textdiff import KINDS, asked, textdiff
from limner.picture import Picture
from limner.worlds._captions import canonical, held_out

sys.path.insert(0, str(Path(__file__).parents[1]))
from _unclip import random_decoder

Get = Callable[[str], Path]
COUNT = 6


@pytest.fixture(scope="module")
def names(
    sd_folder: Get, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("decoder")
    decoder = random_decoder(folder / "d", sd_folder("own"), clip_folder)
    return {"model": str(sd_folder("own")), "decoder": str(decoder)}


def test_one_thing_changes_in_held_out_scenes() -> None:
    scenes = list(asked(30))
    assert Counter(each.kind for each in scenes) == {kind: 10 for kind in KINDS}
    for each in scenes:
        old, new = each.scene, each.wanted
        assert held_out(old) and canonical(old) != canonical(new)
        same = {
            "noun": old.things[0].noun == new.things[0].noun,
            "colour": old.things[0].colour == new.things[0].colour,
            "background": old.background == new.background,
        }
        assert [name for name, stays in same.items() if not stays] == [each.kind]
        assert new.background != "plain" or each.kind != "background"
    assert [each.name for each in asked(4)] == [each.name for each in scenes[:4]]


def test_true_changes_are_seen_and_no_others(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, Any]
) -> None:
    """In the place of the task: the world's own picture of what was asked for, or the same one."""
    eye, scenes = Eye(), {canonical(each.wanted): each for each in asked(COUNT)}

    def true(file: Path, before: str, after: str, **_: Any) -> list[Picture]:
        pixels = torch.tensor(eye.true_picture(scenes[after].wanted, 5)).permute(2, 0, 1) / 255
        return [Picture(pixels)]

    monkeypatch.setattr("limner.tasks.textdiff.textdiff", true)
    found = textdiff(count=COUNT, **names)
    assert found.flipped.right >= COUNT - 1 and found.eye.right >= COUNT - 1
    assert found.before.right == 0 and sum(each.n for each in found.kinds.values()) == COUNT
    monkeypatch.setattr("limner.tasks.textdiff.textdiff", lambda file, *_, **__: [load(file)])
    unchanged = textdiff(count=COUNT, **names)
    assert unchanged.flipped.right == 0 and unchanged.stayed.right >= unchanged.stayed.n - 1


def test_the_command(run: Any, names: dict[str, Any], tmp_path: Path) -> None:
    own = [f"--{name}={value}" for name, value in names.items()]
    status, said, _ = run("measure", "textdiff", "--count", 1, "--steps", 2, "--json", *own,
                          "-o", tmp_path / "kept")  # fmt: skip
    told = json.loads(said)
    assert status == 0 and told["flipped"]["n"] == 1 and set(told["kinds"]) == {"noun"}
    assert len(list((tmp_path / "kept").glob("*.png"))) == 1
    status, _, error = run("measure", "textdiff", "--count", 0, *own)
    assert status == 2 and "count 0" in error
