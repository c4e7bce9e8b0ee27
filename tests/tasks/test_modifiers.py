"""The catalogue of modifiers, and where their effects come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import limner
from limner.errors import BadInput
from limner.prompt import Notice
from limner.tasks import modifiers as room
from limner.tasks.modifiers import CATALOGUE, Effect
from limner.worlds import _vocabulary as words

ROW = {"name": "wooden", "change": 0.2, "direction": 0.5, "direction_error": 0.1, "kept": 0.75}


def measured(folder: Path, fingerprint: str, **other: Any) -> Path:
    """A file as `limner measure modifiers --json` prints it."""
    model = {"name": "m", "fingerprint": fingerprint}
    rows = [ROW | {"unseen": ["xylo"]}]
    file = folder / "effects.json"
    file.write_text(json.dumps({"model": model, "date": "2026-01-02", "modifiers": rows} | other))
    return file


def test_the_catalogue_has_all_that_the_world_knows_and_the_classics() -> None:
    assert len({each.name for each in CATALOGUE}) == len(CATALOGUE) >= 40
    said = {each.applied("cat") for each in CATALOGUE}
    known = {f"a {form[0]}".format("cat") for form in words.MATERIALS.values()}
    known -= {"a cat made of ice"}
    known |= {forms[0].format("a cat") for forms in words.STYLES.values()}
    known |= {f"a cat {phrase}" for phrase, _ in words.BACKGROUNDS.values() if phrase}
    assert known | {"a cat made of ice"} <= said
    assert {
        "a cat, trending on artstation",
        "a cat, highly detailed",
        "a cat, unreal engine",
    } <= said
    assert "an oil painting of an apple" in {each.applied("apple") for each in CATALOGUE}


def test_effects_are_read_from_a_file_and_sorted(tmp_path: Path, monkeypatch: Any) -> None:
    file = measured(tmp_path, "f" * 64, modifiers=[
        ROW | {"name": "stone", "direction": 0.7, "unseen": []}, ROW | {"unseen": ["xylo"]},
    ])  # fmt: skip
    found = limner.modifiers(file=file)
    assert found.effects["wooden"] == Effect(0.2, 0.5, 0.1, 0.75, ("xylo",))
    assert found.source["date"] == "2026-01-02" and "modifiers" not in found.source
    names = [each.name for each, _ in found.rows]
    assert names[:3] == ["stone", "wooden", "golden"]  # the straightest, then those not measured
    assert len(names) == len(CATALOGUE) and found.rows[2][1] is None
    monkeypatch.setattr(room, "FILE", file)
    monkeypatch.setattr(room, "_fingerprint", lambda model: "f" * 64)
    assert limner.modifiers() == found == limner.modifiers(model="embedded")


def test_a_file_is_one_model_s(tmp_path: Path, sd_folder: Any) -> None:
    from limner import open_model

    own = open_model(sd_folder("own"))
    file = measured(tmp_path, own.fingerprint)
    assert limner.modifiers(model=own, file=file) == limner.modifiers(file=file)
    assert limner.modifiers(model=str(sd_folder("own")), file=file).effects
    with pytest.raises(BadInput, match="those on 'm', whose files are not those of"):
        limner.modifiers(model=sd_folder("sd1"), file=file)


def test_it_says_when_the_weights_are_others_or_nothing_is_measured(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(room, "FILE", measured(tmp_path, "f" * 64))
    monkeypatch.setattr(room, "_fingerprint", lambda model: "e" * 64)
    with pytest.warns(Notice, match="trained on since"):
        assert limner.modifiers().effects["wooden"] is not None
    monkeypatch.setattr(room, "FILE", tmp_path / "none.json")
    with pytest.warns(Notice, match="no effects are measured yet"):
        found = limner.modifiers()
    assert set(found.effects.values()) == {None} and len(found.rows) == len(CATALOGUE)


@pytest.mark.parametrize("text", [
    "[]", "no json", "{}", '{"modifiers": 3, "model": {}}',
    '{"modifiers": [], "model": "m"}', '{"modifiers": [{"name": "a"}], "model": {}}',
])  # fmt: skip
def test_what_is_no_measurement_is_bad_input(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"bad\.json.*limner measure modifiers"):
        limner.modifiers(file=file)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        limner.modifiers(file=tmp_path / "none.json")
    with pytest.raises(BadInput, match="effects on 'other' are not known: measure it"):
        limner.modifiers(model="other")
