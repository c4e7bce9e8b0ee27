"""The recipe of the global directions: whole, in parts, and what it writes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.errors import BadInput
from limner.models._channels import changes, channels, deviations, samples
from limner.models.clip import open_clip
from limner.models.directions import Directions, open_directions
from limner.models.stylegan import open_stylegan
from limner.training import directions as room
from limner.training.directions import directions
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("styled") / "model", (6, 5, 4))


def measured(run: Path, styled: Path, clip: Path, **options: Any) -> Any:
    given = {"generator": str(styled), "clip": str(clip), "pictures": 2, **options}
    return directions(run, Plan(), **given)


def test_every_channel_is_measured_once(tmp_path: Path, styled: Path, clip_folder: Path) -> None:
    steps = list(measured(tmp_path, styled, clip_folder))
    assert [each.step for each in steps] == [1, 2, 3, 4] and steps[-1].steps == 4  # 26 by eights
    assert all(0 < each.metrics["agreement"] <= 1 for each in steps)
    found = open_directions(tmp_path / "model")
    assert isinstance(found, Directions)
    model, clip = open_stylegan(styled), open_clip(clip_folder)
    deviation = deviations(model)
    some = channels(model.network.shape).tolist()
    (wanted,) = changes(model, [clip], samples(model, 2), deviation, some)
    torch.testing.assert_close(found.changes[0], wanted)
    torch.testing.assert_close(found.deviation, deviation)
    assert found.clips == ((str(clip_folder), clip.fingerprint),)


@pytest.mark.parametrize("stop", [1, 3])
def test_what_is_measured_is_kept_when_it_stops(
    tmp_path: Path, styled: Path, clip_folder: Path, stop: int, monkeypatch: Any
) -> None:
    list(measured(tmp_path / "whole", styled, clip_folder))
    for progress in measured(tmp_path / "parts", styled, clip_folder):
        if progress.step == stop:
            break
    asked: list[int] = []

    def counting(model: Any, clips: Any, styles: Any, deviation: Any, some: Any) -> Any:
        asked.extend(some)
        return changes(model, clips, styles, deviation, some)

    monkeypatch.setattr(room, "changes", counting)
    list(measured(tmp_path / "parts", styled, clip_folder, resume=True))
    whole, parts = (
        (tmp_path / run / "model" / "directions.safetensors").read_bytes()
        for run in ("whole", "parts")
    )
    assert whole == parts and len(asked) <= 26 - 8 * stop


def test_several_clips_look_together(tmp_path: Path, styled: Path, clip_folder: Path) -> None:
    list(measured(tmp_path, styled, Path(f"{clip_folder},{clip_folder}")))
    found = open_directions(tmp_path / "model")
    assert isinstance(found, Directions) and len(found.changes) == 2
    assert torch.equal(*found.changes)


def test_what_cannot_be_is_told(tmp_path: Path, styled: Path, clip_folder: Path) -> None:
    for options, reason in (
        ({"pictures": 0}, "pictures 0"),
        ({"generator": "nowhere"}, "no model at 'nowhere'"),
    ):
        with pytest.raises(BadInput, match=reason):
            list(measured(tmp_path / "run", styled, clip_folder, **options))
    assert not (tmp_path / "run").exists()
