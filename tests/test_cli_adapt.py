"""`limner adapt` at the command line."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.picture import load
from limner.tasks import Progress
from limner.tasks.adapt import adapt

sys.path.insert(0, str(Path(__file__).parent / "tasks"))
from _toys import stylegan_folder


@pytest.fixture
def small(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    own = stylegan_folder(tmp_path_factory.mktemp("own") / "model")
    return ["--model", own, "--clip", clip_folder, "--steps", 3, "--choice-batch", 2, "--count", 2]


def test_a_folder_is_written_and_named_after_the_target(run: Any, small: Any) -> None:
    status, out, err = run("adapt", "a cat", "a red cube", *small, "--generator", "stylegan")
    assert (status, out, err) == (0, "a-red-cube\n", "")
    assert load("a-red-cube/before-after.png").recipe is not None
    status, out, _ = run("mix", "seed:1", "seed:2", "--model", "a-red-cube", "-o", "mixed.png")
    assert (status, out) == (0, "mixed.png\n")
    status, _, err = run("adapt", "a cat", "a red cube", *small)
    assert status == 2
    assert "holds a search: --resume" in err


def test_json_and_a_preview(run: Any, small: Any) -> None:
    flags = ("--json", "--preview", "-o", "cube")
    status, out, err = run("adapt", "a cat", "a red cube", *small, *flags)
    told = json.loads(out)
    assert status == 0
    assert err == "preview: cube.preview.png\n"
    assert not Path("cube.preview.png").exists()
    assert (told["path"], told["sheet"]) == ("cube", "cube/before-after.png")
    assert told["recipe"]["arguments"]["steps"] == 3


def test_ctrl_c_keeps_what_there_is_and_resume_goes_on(
    run: Any, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import limner._cli_adapt as door

    def stopped(*said: Any, watch: Any, **given: Any) -> Any:
        def halt(progress: Progress) -> None:
            watch(progress)
            if progress.step == 2:
                raise KeyboardInterrupt

        return adapt(*said, watch=halt, **given)

    with monkeypatch.context() as patch:
        patch.setattr(door, "adapt", stopped)
        status, out, err = run("adapt", "a cat", "a red cube", *small, "-o", "cube")
    assert (status, out) == (130, "cube\n")
    assert "stopped at step 2 of 3: --resume goes on" in err
    assert run("adapt", "a cat", "a red cube", *small, "-o", "cube", "--resume")[0] == 0
    assert run("adapt", "a cat", "a red cube", *small, "-o", "whole")[0] == 0
    for name in ("generator.safetensors", "before-after.png", "limner.json"):
        assert Path("cube", name).read_bytes() == Path("whole", name).read_bytes()


def test_every_keyword_is_a_flag(run: Any) -> None:
    _, out, _ = run("adapt", "--help")
    for name, parameter in inspect.signature(adapt).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "watch":
            assert f"--{name.replace('_', '-')} " in out


def test_measure_adapt(run: Any, small: Any, clip_folder: Path, monkeypatch: Any) -> None:
    from limner.measures import adapted
    from limner.models.faces import Attributes

    class Zombies:
        name, labels = "zombies", tuple(f"domain: {each}" for each in ("none", *adapted.STYLES))

        def logits(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.eye(6)[torch.full((len(pictures),), 4)]

    monkeypatch.setattr(adapted, "open_attributes", lambda name: Attributes(Zombies()))  # type: ignore[arg-type]
    how = (*small[:4], "--steps", 1, "--count", 3, "--judge-by", clip_folder)
    how = ("measure", "adapt", *how, "--domains", "night, zombie", "-o", "kept")
    status, out, _ = run(*how, "--json")
    told = json.loads(out)
    assert status == 0
    assert [each["agrees"]["right"] for each in told["domains"]] == [0, 3]
    assert 0.5 < told["domains"][0]["kept"] < 2
    status, out, _ = run(*how)
    night, zombie = out.splitlines()
    assert night.startswith("night ") and "diversity kept" in night
    assert zombie.startswith("zombie ") and "(3 of 3)" in zombie and "before 100.0%" in zombie
    status, _, err = run("measure", "adapt", "--domains", "cubism")
    assert status == 2 and "choose of pencil sketch" in err
    _, out, _ = run("measure", "adapt", "--help")
    assert "Example: limner measure adapt" in " ".join(out.split())
