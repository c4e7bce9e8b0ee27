"""`limner measure …`: what it prints, and how it fails; the figures are tests/measures' matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.cli import main
from limner.measures import compose as room
from limner.measures._share import Share
from limner.measures.compose import QUESTIONS, Answered, Report
from limner.picture import Picture

Get = Callable[[str], Path]
COMMANDS = (
    "compose", "clip-score", "frechet", "reconstruction", "throughput", "zero-shot", "retrieval",
    "agreement", "materials", "modifiers", "portraits", "inversion",
)  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """run("compose", …) → exit status, stdout, stderr."""

    def go(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["measure", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return go


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        pixels = torch.rand(3, 40, 32 + i, generator=torch.Generator().manual_seed(i))
        recipe = {"arguments": {"prompt": f"a cat {i}"}} if i else None
        Picture(pixels, recipe).save(folder / f"{i}.png")
    (folder / "note.txt").write_text("not a picture")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_each_has_help_with_an_example_and_json(run: Any, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0 and f"Example: limner measure {command}" in " ".join(out.split())
    assert "--json" in out


def report() -> Report:
    kinds = {"single object": Share(3, 4), "count": Share(1, 2)}
    questions = {"one object": Share(4, 4), "background": Share(2, 3)}
    eye = {"single object": Share(4, 4), "count": Share(1, 2)}
    answers = (Answered("a cat", "single object", {"object": True, "among five": False}),)
    asked = {"one object": Share(4, 4), "background": Share(3, 3)}
    return Report("embedded", 0, kinds, questions, eye, asked, answers)


def test_compose_prints_the_kinds_the_questions_and_the_eye_s_error(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(room, "compose", lambda **said: given.update(said) or report())
    status, out, err = run(
        "compose", "--count", 6, "--draws", 2, "-o", tmp_path, "--seed", 5, "--steps", 3
    )
    assert (status, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "embedded: all that a prompt names is there"
    assert "single object 75.0% ± 21.7% (3 of 4) eye's error 0.0%" in lines
    assert "in all 66.7% ± 19.2% (4 of 6)" in lines
    meaning = QUESTIONS["background"][2]
    assert f"background 66.7% ± 27.2% (2 of 3) eye's error 0.0% {meaning}" in lines
    assert lines[-1] == "the eye's own error on true pictures: 16.7%"
    watch = given.pop("watch")
    assert callable(watch)
    assert given == dict(model="embedded", count=6, seed=5, steps=3, draws=2, folder=tmp_path)
    status, out, _ = run("compose", "--eye", "--json")
    told = json.loads(out)
    assert status == 0 and given["model"] is None
    assert told["kinds"]["count"] == {
        "share": 0.5, "standard_error": 0.5**1.5, "right": 1, "n": 2,
    }  # fmt: skip
    assert told["answers"][0]["right"] is True and told["eye_error"] == pytest.approx(1 / 6)


def test_clip_score_of_pictures_with_their_recipes_or_a_prompt(
    run: Any, pictures: Path, clip_folder: Path
) -> None:
    some = [pictures / "1.png", pictures / "2.png"]
    status, out, _ = run("clip-score", *some, "--clip", clip_folder)
    assert status == 0 and out.endswith("(2 pictures)\n")
    status, out, _ = run("clip-score", *some, "--clip", clip_folder, "--json")
    assert [each["prompt"] for each in json.loads(out)["pictures"]] == ["a cat 1", "a cat 2"]
    status, _, err = run("clip-score", pictures, "--clip", clip_folder)
    assert status == 2 and "carries no recipe" in err and err.count("\n") == 1
    status, out, _ = run(
        "clip-score", pictures, "--prompt", "a dog", "--clip", clip_folder, "--json"
    )
    assert {each["prompt"] for each in json.loads(out)["pictures"]} == {"a dog"}
    assert len(json.loads(out)["pictures"]) == 4


def test_clip_score_of_what_a_model_paints(
    run: Any, sd_folder: Get, clip_folder: Path, tmp_path: Path
) -> None:
    model = ("--model", sd_folder("own"), "--clip", clip_folder, "--count", 2, "--json")
    status, out, _ = run("clip-score", *model, "-o", tmp_path / "kept")
    first = json.loads(out)
    assert status == 0 and len(list((tmp_path / "kept").glob("*.png"))) == 2
    assert json.loads(run("clip-score", *model, "-o", tmp_path / "kept")[1]) == first


def test_frechet_of_two_folders_and_of_a_model(
    run: Any, pictures: Path, sd_folder: Get, clip_folder: Path, tmp_path: Path
) -> None:
    clip = ("--clip", clip_folder)
    status, out, err = run("frechet", pictures, pictures, *clip)
    assert status == 0 and out == "0.0000 (4 real, 4 painted)\n" and "fewer than 1,000" in err
    assert run("frechet", pictures, *clip)[::2] == (
        2, "limner: give two folders to compare, or none to compare a model with the world\n",
    )  # fmt: skip
    (tmp_path / "empty").mkdir()
    status, _, err = run("frechet", pictures, tmp_path / "empty", *clip)
    assert status == 2 and "no PNG, JPEG or WebP pictures" in err
    status, out, _ = run("frechet", "--model", sd_folder("own"), "--count", 2, *clip, "--json")
    told = json.loads(out)
    assert (told["real"], told["painted"]) == (2, 2) and told["distance"] > 0


def test_the_models_parts(run: Any, sd_folder: Get, clip_folder: Path) -> None:
    status, out, _ = run("reconstruction", "--model", sd_folder("own"), "--count", 2, "--json")
    assert status == 0 and json.loads(out)["n"] == 2
    assert "dB" in run("reconstruction", "--model", sd_folder("own"), "--count", 2)[1]
    for command, key in (("zero-shot", "named"), ("retrieval", "caption")):
        status, out, _ = run(command, "--clip", clip_folder, "--count", 4, "--json")
        assert status == 0 and json.loads(out)[key]["n"] == 4
        assert key in run(command, "--clip", clip_folder, "--count", 4)[1]


def test_throughput(run: Any, sd_folder: Get) -> None:
    said = ("--model", sd_folder("own"), "--batches", "1", "--rounds", 1, "--steps", 1)
    status, out, _ = run("throughput", *said, "--pipelines", "float32")
    assert status == 0 and "× limner" in out and "diffusers float32  batch 1:" in out
    status, out, _ = run("throughput", *said, "--pipelines", "", "--json")
    told = json.loads(out)  # float32 agrees with itself, and bfloat16 nearly, where there is any
    assert status == 0 and len(told["speeds"]) == 1
    assert told["psnr"] is None if told["precision"] == "float32" else told["psnr"] > 20


def test_agreement(run: Any, clip_folder: Path, tmp_path: Path) -> None:
    how = ("--generator", "fourier", "--count", 2, "--steps", 1, "--views", 1)
    said = (*how, "--clip", clip_folder, "--judge-by", "embedded", "-o", tmp_path / "kept")
    status, out, _ = run("agreement", *said, "--json")
    told = json.loads(out)
    assert status == 0 and told["held_out"]["clip"] == "embedded" and told["seconds"] > 0
    assert [each["clip"] for each in told["followed"]] == [str(clip_folder)]
    status, out, _ = run("agreement", *said)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0 and len(lines) == 3  # all pictures were kept: no seconds
    assert lines[0] == "fourier: paintings nearer to their words than 20 random scenes"
    assert lines[1].startswith("held out embedded ") and lines[2].startswith("followed ")


@pytest.mark.parametrize(
    "said, message",
    [
        (("compose", "--model", "./nowhere"), "no model at './nowhere'"),
        (("compose", "--eye", "--count", "0"), "count 0: give a whole number from 1 to"),
        (("compose", "--eye", "--draws", "0"), "draws 0"),
        (("clip-score", "--count", "100000"), "count 100000"),
        (("clip-score", "missing.png", "--prompt", "a"), "cannot read the picture"),
        (("frechet", "--count", "1"), "count 1: give a whole number from 2"),
        (("reconstruction", "--model", "./nowhere"), "no model at"),
        (("zero-shot", "--clip", "./nowhere"), "no model at"),
        (("retrieval", "--count", "1"), "count 1"),
        (("agreement", "--count", "0"), "count 0"),
        (("agreement", "--generator", "oil"), "no generator 'oil'"),
        (("agreement", "--steps", "0"), "steps 0"),
        (("agreement", "--clip", "embedded", "--judge-by", "embedded"), "no judge of its own work"),
        (("throughput", "--batches", "1,x"), "give whole numbers, such as 1,8"),
        (("throughput", "--batches", "0"), "batch 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run: Any, said: tuple[str, ...], message: str) -> None:
    status, out, err = run(*said)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1
