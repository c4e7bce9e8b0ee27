"""The command line: what it writes, what it says, and how it fails."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import limner
from limner.picture import load, psnr
from limner.tasks.generate import generate

Get = Callable[[str], Path]
SMALL = ("--steps", "2", "--size", "32x32")


@pytest.fixture
def own(sd_folder: Get) -> str:
    return str(sd_folder("own"))


def test_a_picture_is_painted_and_replayed(run: Any, own: str, tmp_path: Path) -> None:
    status, out, err = run("generate", "a red cube on the cat", "--model", own, *SMALL)
    assert (status, err) == (0, "")
    assert out == "a-red-cube-on-the-cat.png\n"
    first = (tmp_path / "a-red-cube-on-the-cat.png").read_bytes()
    run("generate", "a red cube on the cat", "--model", own, *SMALL, "-o", "again.png")
    assert (tmp_path / "again.png").read_bytes() == first
    assert run("replay", "again.png") == (0, "identical\n", "")
    status, out, _ = run("replay", "again.png", "--json")
    assert json.loads(out) == {"identical": True, "psnr": None, "notes": []}


def test_a_changed_picture_is_told_by_replay(run: Any, own: str, tmp_path: Path) -> None:
    run("generate", "a cat", "--model", own, *SMALL, "-o", "out.png")
    picture = load(tmp_path / "out.png")
    limner.Picture(picture.pixels * 0.9, picture.recipe).save(tmp_path / "out.png")
    status, out, _ = run("replay", "out.png")
    assert status == 1
    assert out.startswith("different: ")
    assert out.endswith(" dB\n")


def test_python_gives_the_same_keyword_for_keyword(run: Any, own: str, tmp_path: Path) -> None:
    flags = ["--negative", "dog", "--count", "2", "--seed", "7", "--first", "3", "--steps", "3"]
    flags += ["--guidance-scale", "2.5", "--guidance-interval", "0.1,0.9", "--sampler", "heun"]
    flags += ["--guidance-rescale", "0.2", "--size", "48x32", "--precision", "float32"]
    run("generate", "a red cube", "--model", own, *flags, "-o", "out.png")
    pictures = generate(
        "a red cube", negative="dog", count=2, seed=7, first=3, steps=3, guidance_scale=2.5,
        guidance_interval=(0.1, 0.9), sampler="heun", guidance_rescale=0.2, size=(48, 32),
        precision="float32", model=own,
    )  # fmt: skip
    for i, picture in enumerate(pictures, 1):
        assert (tmp_path / f"out-{i}.png").read_bytes() == picture.bytes()


def test_every_keyword_is_a_flag(run: Any) -> None:
    _, out, _ = run("generate", "--help")
    for name, parameter in inspect.signature(generate).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "watch":
            assert f"--{name.replace('_', '-')} " in out


def test_several_pictures(run: Any, own: str, tmp_path: Path) -> None:
    status, out, _ = run("generate", "a cat", "--model", own, *SMALL, "--count", "10", "--sheet")
    names = [f"a-cat-{i:02d}.png" for i in range(1, 11)]
    assert out.split() == [*names, "a-cat-sheet.png"]
    assert load("a-cat-07.png").recipe["sample"] == 6  # type: ignore[index]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names, "a-cat-sheet.png"]
    status, out, _ = run("generate", "a cat", "--model", own, *SMALL, "--count", "2", "-o", "new")
    assert out.split() == ["new/a-cat-1.png", "new/a-cat-2.png"]
    assert status == 0
    status, out, _ = run("generate", "a cat", "--model", own, *SMALL, "--json", "-o", "one.jpg")
    told = json.loads(out)
    assert told["pictures"][0]["path"] == "one.jpg"
    assert told["pictures"][0]["recipe"]["arguments"]["prompt"] == "a cat"
    assert psnr(load("one.jpg").pixels, load("new/a-cat-1.png").pixels) > 15


def test_without_a_recipe(run: Any, own: str, tmp_path: Path) -> None:
    run("generate", "a cat", "--model", own, *SMALL, "--no-recipe", "-o", "out.png")
    data = (tmp_path / "out.png").read_bytes()
    assert b"limner" not in data
    assert b"trainedAlgorithmicMedia" in data


def test_unseen_words_are_a_yellow_line(run: Any, own: str) -> None:
    status, _, err = run("generate", "a hors", "--model", own, *SMALL)
    assert status == 0
    assert err.count("\n") == 1
    assert "'hors', did you mean 'horse'?" in err


BAD: list[tuple[list[str], str]] = [
    (["generate", ""], "prompt is empty"),
    (["generate", "x" * 100_000], "100,000 characters"),
    (["generate", "a cat", "--model", "/no/model"], "no model at '/no/model'"),
    (["generate", "a cat", "--model", "no\0model"], "no model at"),
    (["generate", "a cat", "--model", "someone/model"], "HF_HUB_OFFLINE"),
    (["generate", "a cat", "--model", "PICKLED"], "pickled"),
    (["generate", "a cat", "--model", "HALF"], "no whole safetensors file"),
    (["generate", "a cat", "--size", "127x-3"], "size '127x-3'"),
    (["generate", "a cat", "--model", "OWN", "--size", "127x32"], "multiples of 4"),
    (["generate", "a cat", "-o", "nowhere/deep/out.png"], "no folder 'nowhere/deep'"),
    (["generate", "a cat", "-o", "out.gif"], "a name ends in .png"),
    (["generate", "a cat", "-o", "text.png/out.png"], "cannot write"),
    (["generate", "a cat", "-o", "/proc/out.png"], "cannot write"),
    (["generate", "a cat", "--count", "0"], "count 0"),
    (["generate", "a cat", "--count", "1000000000"], "count 1000000000"),
    (["generate", "a cat", "--count", "many"], "valid integer"),
    (["generate", "a cat", "--guidance-interval", "1"], "--guidance-interval '1'"),
    (["generate", "a cat", "--sampler", "magic"], "choose one of"),
    (["generate"], "Missing argument"),
    (["generate", "a cat", "--nonsense"], "No such option"),
    (["nonsense"], "No such command"),
    (["replay", "nowhere.png"], "No such file"),
    (["replay", "text.png"], "no PNG, JPEG or WebP"),
    (["replay", "plain.png"], "carries no recipe"),
    (["describe", "text.png", "--clip", "CLIP"], "no PNG, JPEG or WebP"),
    (["describe", "plain.png", "--clip", "/no/clip"], "no model at"),
    (["describe", "plain.png", "--clip", "CLIP", "--captions", "nowhere.txt"], "No such file"),
    (["classify", "plain.png", "--clip", "CLIP", "--labels", "cat"], "at least two"),
    (["classify", "plain.png"], "Missing option"),
    (["rank", "", "plain.png", "--clip", "CLIP"], "prompt is empty"),
    (["rank", "a cat", "text.png", "--clip", "CLIP"], "no PNG, JPEG or WebP"),
    (["world", "scenes", "-o", "text.png"], "cannot make the folder"),
    (["world", "scenes", "-o", "new", "--count", "0"], "count 0"),
    (["world", "scenes", "-o", "new", "--vocabulary", "huge"], "not 'huge'"),
    (["models", "/no/model"], "no model at"),
]


@pytest.mark.parametrize(("arguments", "reason"), BAD, ids=lambda each: str(each)[:60])
def test_bad_input_is_one_line(
    run: Any, sd_folder: Get, clip_folder: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    for name in {"PICKLED", "HALF"} & set(arguments):
        import shutil

        weights = Path(shutil.copytree(sd_folder("own"), tmp_path / name)) / "unet"
        file = weights / "diffusion_pytorch_model.safetensors"
        if name == "HALF":
            file.write_bytes(file.read_bytes()[:5000])
        else:
            file.rename(weights / "diffusion_pytorch_model.bin")
    (tmp_path / "text.png").write_text("not a picture")
    limner.Picture(torch.zeros(3, 8, 8)).save(tmp_path / "plain.png")
    before = sorted(tmp_path.rglob("*"))
    places = {"OWN": str(sd_folder("own")), "CLIP": str(clip_folder)}
    status, out, err = run(*(places.get(each, each) for each in arguments))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("limner: ")
    assert reason in err
    assert len(err) < 400
    assert sorted(tmp_path.rglob("*")) == before


def test_control_characters_do_not_reach_the_terminal(run: Any) -> None:
    status, _, err = run("generate", "a cat", "--model", "\x1b]0;evil\x07\r\n")
    assert status == 2
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_looking(run: Any, clip_folder: Path, tmp_path: Path) -> None:
    for i in (0, 1):
        generator = torch.Generator().manual_seed(i)
        limner.Picture(torch.rand(3, 32, 32, generator=generator)).save(tmp_path / f"{i}.png")
    (tmp_path / "captions.txt").write_text("a cat\na red cube\n")
    clip = ("--clip", str(clip_folder))
    _, out, _ = run("describe", "0.png", "1.png", "--captions", "captions.txt", *clip)
    assert [line.split("\t")[0] for line in out.splitlines()] == ["0.png"] * 2 + ["1.png"] * 2
    _, out, _ = run("describe", "0.png", "--captions", "captions.txt", "--json", *clip)
    assert set(json.loads(out)[0]["captions"]) == {"a cat", "a red cube"}
    _, out, _ = run("classify", "0.png", "--labels", "cat,dog", "--json", *clip)
    assert sum(json.loads(out)[0]["labels"].values()) == pytest.approx(1)
    _, out, _ = run("classify", "0.png", "--labels", "cat,dog", *clip)
    assert out.count("%") == 2
    _, out, _ = run("rank", "a cat", "0.png", "1.png", "--json", *clip)
    scores = [each["score"] for each in json.loads(out)]
    assert scores == sorted(scores, reverse=True)
    _, out, _ = run("rank", "a cat", "0.png", "1.png", *clip)
    assert sorted(line.split("\t")[1] for line in out.splitlines()) == ["0.png", "1.png"]


def unrun(counts: list[int], size: list[int]) -> np.ndarray:
    """COCO's run lengths, column by column, beginning with zeros."""
    flat = np.concatenate([np.full(n, i % 2, bool) for i, n in enumerate(counts)])
    return flat.reshape(size[1], size[0]).T


def test_the_world_on_disk_is_the_world(run: Any, tmp_path: Path) -> None:
    from limner.worlds.scenes import World

    status, out, _ = run("world", "scenes", "-o", "scenes", "--count", "40", "--seed", "3")
    assert (status, out) == (0, "scenes\n")
    lines = (tmp_path / "scenes" / "metadata.jsonl").read_text().splitlines()
    world = World(3)
    drawn = world.draw(range(40), annotate=True)
    assert len(lines) == 40
    for row in (0, 17, 39):
        line = json.loads(lines[row])
        picture = load(tmp_path / "scenes" / line["file_name"])
        assert (picture.uint8() == drawn.pictures[row]).all()
        assert b"digitalsourcetype" not in (tmp_path / "scenes" / line["file_name"]).read_bytes()
        assert line["text"] == drawn.captions[row][0]
        assert line["captions"] == drawn.captions[row]
        assert line["boxes"] == drawn.boxes[row].tolist()
        for mask, told in zip(drawn.masks[row], line["masks"], strict=True):
            assert (unrun(told["counts"], told["size"]) == mask).all()
        flat = [value for value, length in line["map"]["runs"] for _ in range(length)]
        assert (np.reshape(flat, line["map"]["size"]) == drawn.maps[row]).all()
        for value, name in line["map"]["names"].items():
            assert world.nouns[int(value) - 1] == name
    sheet = (tmp_path / "scenes" / "sheet.png").read_bytes()
    run("world", "scenes", "-o", "again", "--count", "40", "--seed", "3")
    assert (tmp_path / "again" / "metadata.jsonl").read_text().splitlines() == lines
    assert (tmp_path / "again" / "sheet.png").read_bytes() == sheet


def test_models(run: Any, own: str) -> None:
    status, out, _ = run("models", own, "--json")
    assert status == 0
    row = json.loads(out)[-1]
    assert (row["name"], row["size"], row["licence"]) == (own, "64x64", "MIT")
    assert "horse" in row["vocabulary"]
    _, out, _ = run("models", own, "--words")
    assert "astronaut blue cat" in out.replace(" and ", " ")


def test_every_command_shows_an_example(run: Any) -> None:
    _, out, _ = run()
    commands = ["generate", "paint", "replay", "describe", "classify", "rank", "models", "world"]
    for name in commands:
        assert name in out
        status, told, _ = run(name, "--help")
        assert status == 0
        assert f"Example: limner {name} " in told
    assert "Example: limner world scenes " in run("world", "scenes", "--help")[1]
    assert run("--version")[1] == f"limner {limner.__version__}\n"


def test_an_interrupt_is_130(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from limner import _cli_look

    def stop(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_cli_look, "rank", stop)
    assert run("rank", "a cat", "x.png") == (130, "", "limner: stopped\n")


def shell(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    code = "import sys; from limner.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


def test_ctrl_c_while_painting_leaves_nothing(own: str, tmp_path: Path) -> None:
    options = ["--steps", "1000", "--size", "128x128", "--preview", "-o", str(tmp_path / "out.png")]
    painting = shell("generate", "a cat", "--model", own, *options)
    preview, limit = tmp_path / "out.preview.png", time.monotonic() + 120
    while not preview.exists() and painting.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert preview.exists()
    painting.send_signal(signal.SIGINT)
    out, err = painting.communicate(timeout=60)
    assert (painting.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "limner: stopped"
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_painting_imports_nothing_heavy_but_torch(own: str, tmp_path: Path) -> None:
    """diffusers, transformers and torch's compiler each take longer to import than to paint."""
    code = f"""
import sys
from limner.cli import main
status = main(["generate", "a cat", "--model", {own!r}, "--steps", "1", "-o", "out.png"])
heavy = {{"diffusers", "transformers", "torch._dynamo", "scipy", "sympy", "huggingface_hub"}}
print(status, sorted(heavy & set(sys.modules)))
"""
    options = dict(cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_importing_limner_is_quick() -> None:
    code = """
import sys, time
began = time.perf_counter()
import limner
took = time.perf_counter() - began
assert {"torch", "numpy", "PIL", "typer"}.isdisjoint(sys.modules)
print(took)
"""
    took = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(took) < 0.15


def test_the_public_names() -> None:
    assert limner.__all__ == [
        "BadInput", "Control", "LimnerError", "Picture", "adapt", "arithmetic", "classify",
        "describe", "edit", "explain", "generate", "grid", "guide", "inpaint", "interpolate",
        "invert", "layout", "load", "map", "mix", "modifiers", "open_clip", "open_model",
        "outpaint", "paint", "rank", "replay", "restyle", "sample", "textdiff", "unclip",
        "upscale", "vary",
    ]  # fmt: skip
    for name in limner.__all__:
        assert callable(getattr(limner, name))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        limner.nonsense  # noqa: B018
