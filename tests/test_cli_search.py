"""`limner paint` at the command line."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import limner
from limner.picture import load
from limner.tasks.paint import paint


@pytest.fixture
def small(clip_folder: Path) -> list[object]:
    return ["--clip", clip_folder, "--size", "32x32", "--steps", "3", "--views", "2"]


def test_a_picture_is_painted_and_replayed(run: Any, small: list[str], tmp_path: Path) -> None:
    status, out, err = run("paint", "a red cube", *small, "--film", "out.gif", "--preview")
    assert (status, out, err) == (0, "a-red-cube.png\n", "preview: a-red-cube.preview.png\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-red-cube.png", "out.gif"]
    assert run("replay", "a-red-cube.png") == (0, "identical\n", "")


def test_python_gives_the_same_keyword_for_keyword(
    run: Any, small: list[str], tmp_path: Path, clip_folder: Path
) -> None:
    options = ["--generator", "grid", "--grid", "8x6 hexagon", "--judge", "clip,smooth:.2"]
    options += ["--judge", "palette:2", "--palette", "red, blue", "--schedule", "2: a dog"]
    options += ["--count", "2", "--first", "3", "--seed", "7", "--rate", "2", "--best-of", "2"]
    options += ["--views-at-once", "1"]
    limner.Picture(torch.full((3, 32, 32), 0.4)).save(tmp_path / "start.png")
    own = (*options, "--start", "start.png", "--mask", "start.png", "--sheet", "-o", "out.png")
    status, out, _ = run("paint", "a red cube:2 | a cat", *small, *own)
    assert (status, out.split()) == (0, ["out-1.png", "out-2.png", "out-sheet.png"])
    pictures = paint(
        "a red cube:2 | a cat", generator="grid", grid="8x6 hexagon", palette="red, blue",
        judge=["clip", "smooth:.2", "palette:2"], schedule="2: a dog", count=2, first=3, seed=7,
        rate=2.0, best_of=2, views_at_once=1, start="start.png", mask="start.png",
        clip=str(clip_folder), size=(32, 32), steps=3, views=2,
    )  # fmt: skip
    for i, picture in enumerate(pictures, 1):
        assert (tmp_path / f"out-{i}.png").read_bytes() == picture.bytes()


def test_every_keyword_is_a_flag(run: Any) -> None:
    status, out, _ = run("paint", "--help")
    assert status == 0
    assert "Example: limner paint " in out
    for name, parameter in inspect.signature(paint).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "watch":
            assert f"--{name.replace('_', '-')} " in out


def test_json(run: Any, small: list[str]) -> None:
    _, out, _ = run("paint", "a cat", *small, "--json", "-o", "one.png")
    told = json.loads(out)
    assert told["pictures"][0]["path"] == "one.png"
    assert told["pictures"][0]["recipe"]["arguments"]["prompt"] == "a cat"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing argument"),
        (["a cat:0"], "not all of them 0"),
        (["a cat", "--generator", "magic"], "choose one of biggan, "),
        (["a cat", "--judge", "magic"], "choose of clip, direction"),
        (["a cat", "--film", "out.mp4", "--size", "31x32"], "or a .gif"),
        (["a cat", "--mask", "plain.png", "--size", "16x16"], "32x32 and the picture 16x16"),
        (["a cat", "--generator", "grid", "--palette", ""], "palette has no colour"),
        (["a cat", "--schedule", "later: a dog"], "WHEN: PROMPT"),
        (["a cat", "-o", "out.gif"], "a name ends in .png"),
        (["a cat", "--save", "nowhere/deep/a.safetensors"], "no folder"),
    ],
    ids=lambda each: str(each)[:60],
)
def test_bad_input_is_one_line(
    run: Any, small: list[str], tmp_path: Path, arguments: list[str], reason: str
) -> None:
    limner.Picture(torch.zeros(3, 32, 32)).save(tmp_path / "plain.png")
    given = [*small[:2], *small[4:]]
    status, out, err = run("paint", *given, *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert reason in err
    assert [path.name for path in tmp_path.iterdir()] == ["plain.png"]


def test_ctrl_c_keeps_the_best_and_it_goes_on(clip_folder: Path, tmp_path: Path) -> None:
    code = "import sys; from limner.cli import main; sys.exit(main())"
    clip = ["--clip", str(clip_folder), "--size", "32x32", "--views", "2"]
    own = [*clip, "--steps", "10000", "--save", "state.safetensors", "--preview", "-o", "out.png"]
    pipe = subprocess.PIPE
    options: dict[str, Any] = dict(stdout=pipe, stderr=pipe, text=True, cwd=tmp_path)
    painting = subprocess.Popen([sys.executable, "-c", code, "paint", "a cat", *own], **options)
    preview, limit = tmp_path / "out.preview.png", time.monotonic() + 120
    while not preview.exists() and painting.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert preview.exists()
    time.sleep(0.5)  # Python loses an interrupt that comes within an import's own bookkeeping
    painting.send_signal(signal.SIGINT)
    out, err = painting.communicate(timeout=60)
    assert (painting.returncode, out) == (130, "out.png\n"), err
    assert err.splitlines()[-2:] == [
        "stopped early: what was best by then is kept", "limner: stopped"
    ]  # fmt: skip
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out.png", "state.safetensors"]
    picture = load(tmp_path / "out.png")
    assert picture.recipe is not None
    assert 1 <= picture.recipe["stopped"] < 10000
    assert picture.pixels.std() > 0
