"""The command `limner train`: tiny trainings on a folder of captioned pictures."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from limner.cli import main

sys.path.insert(0, str(Path(__file__).parent / "training"))
from _toy import Bars, finish, start, tiny_diffusion

sys.path.insert(0, str(Path(__file__).parent / "tasks"))
from _toys import stylegan_folder

TINY = "--size 32 --width 64 --layers 1 --patch 16 --vocab-size 560 --length 12".split()  # noqa: SIM905
QUICK = "--pixels 32 --batch-size 4 --warmup-steps 1".split()  # noqa: SIM905


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, (picture, caption) in enumerate(zip(*Bars().batch(range(24)), strict=True)):
        Image.fromarray(picture).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(caption)
    return folder


def train(kind, pictures, run, *more):
    options = TINY if kind == "clip" else []
    said = ["train", kind, "--data", pictures, "-o", run, *QUICK, *options, *more]
    return main([str(word) for word in said])


def steps_of(run):
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_steps_then_more(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    assert train("clip", pictures, run, "--steps", 2, "--json", "--preview-every", 2) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["step"] == 2 and told["model"] == str(run / "model") and told["seconds"] > 0
    assert told["metrics"]["infonce"] > 0 and err == ""
    assert (run / "previews" / "retrieval.jsonl").exists()
    assert train("clip", pictures, run, "--steps", 3, "--resume") == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(run / "model")] and steps_of(run) == [0, 1, 2]
    assert train("clip", pictures, run, "--steps", 3, "--resume") == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(run / "model")] and "more --steps" in err


def test_autoencoder_then_diffusion(tmp_path, pictures, capsys):
    """The words of one model and the autoencoder of another."""
    vae, run, begun = tmp_path / "vae", tmp_path / "run", tmp_path / "begun"
    tiny_diffusion().export(begun)
    more = ("--steps", 2, "--crop", 16, "--latent-channels", 4, "--preview-every", 2)
    assert train("autoencoder", pictures, vae, *more) == 0
    parts = ("--start", begun, "--autoencoder", vae / "model", "--latents", 20)
    assert train("diffusion", pictures, run, "--steps", 2, "--preview-every", 1, *parts) == 0
    assert capsys.readouterr().out.split() == [str(vae / "model"), str(run / "model")]
    assert (vae / "previews" / "step-000002.png").exists()
    assert len(list((run / "previews").glob("*.png"))) == 2
    painted = tmp_path / "a.png"
    said = ["generate", "a red bar", "--model", run / "model", "--steps", 2, "-o", painted]
    assert main([str(word) for word in said]) == 0
    with Image.open(painted) as picture:
        assert picture.size == (32, 32)


def test_what_is_made_for_a_stylegan_reads_no_data(tmp_path, clip_folder, capsys):
    own = ["--generator", stylegan_folder(tmp_path / "own", (4, 3)), "--clip", clip_folder]
    for name, more in (
        ("mapper", ["a red cat", "--steps", 2, "--views", 1]),
        ("directions", ["--pictures", 1]),
    ):
        said = ["train", name, *own, *more, "-o", tmp_path / name]
        assert main([str(word) for word in said]) == 0
        model = tmp_path / name / "model"
        assert capsys.readouterr().out.split() == [str(model)] and (model / "config.json").exists()
        assert main([*[str(word) for word in said], "--data", "world:faces"]) == 2
        assert "--data" in capsys.readouterr().err


def test_every_recipe_has_help(capsys):
    for kind in ("clip", "autoencoder", "vqgan", "diffusion"):
        assert main(["train", kind, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"limner train {kind} --data" in text and "--resume" in text


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("clip", ["--steps", 0], "steps is 0: give at least 1"),
        ("clip", ["--batch-size", 0], "batch_size is 0"),
        ("clip", ["--precision", "fp8"], "precision is 'fp8': give no or bf16"),
        ("clip", ["--tower", "vgg"], "tower 'vgg': give vit or resnet"),
        ("clip", ["--text", "lstm"], "text 'lstm'"),
        ("vqgan", ["--codes", 1, "--crop", 16], "codes 1: give 2 to"),
        ("autoencoder", ["--crop", 20], "crop 20"),
        ("diffusion", ["--prediction", "x0"], "prediction 'x0'"),
        ("diffusion", ["--clip", "no/where"], "no model folder at 'no/where'"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, pictures, capsys, kind, more, message):
    run = tmp_path / "run"
    more = [*more, "--clip", "no"] if kind == "diffusion" and "--clip" not in more else more
    assert train(kind, pictures, run, *more) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
    assert not run.exists()


def test_wrong_places_are_one_line(tmp_path, pictures, capsys):
    (tmp_path / "file").write_text("")
    assert train("clip", pictures, tmp_path / "file" / "run") == 2
    assert "cannot write into" in capsys.readouterr().err
    assert train("clip", tmp_path / "nothing", tmp_path / "run") == 2
    err = capsys.readouterr().err
    assert "there is no" in err and err.count("\n") == 1


def test_another_training_is_not_overwritten(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    assert train("clip", pictures, run, "--steps", 1) == 0
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert train("clip", pictures, run, "--steps", 5, "--vocab-size", 540) == 2
    assert "already holds a training: add --resume" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert train("clip", pictures, run, "--steps", 5, "--resume", "--width", 128) == 2
    assert "another network" in capsys.readouterr().err


def in_a_child(said, arguments):
    """The command's exit status, after a look at what it left running."""
    sys.stdout = sys.stderr = said.open("w", buffering=1)
    status = main(arguments)
    others = [each.name for each in threading.enumerate() if not each.daemon]
    print("left running:", others, Path(f"/proc/self/task/{os.getpid()}/children").read_text())
    sys.exit(status)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, pictures, sent):
    run, said = tmp_path / "run", tmp_path / "said"
    words = ["train", "clip", "--data", pictures, "-o", run, *QUICK, *TINY, "--steps", 100_000]
    child = start(in_a_child, said, [str(word) for word in words])
    deadline = time.monotonic() + 100
    while not (run / "log.jsonl").exists() or len(steps_of(run)) < 3:
        assert time.monotonic() < deadline and child.is_alive(), said.read_text()
        time.sleep(0.05)
    os.kill(child.pid, sent)
    assert finish(child) == 130
    saved, stopped, left = said.read_text().splitlines()
    done = len(steps_of(run))
    assert saved == f"saved at step {done} of 100000: --resume goes on"
    assert stopped == "limner: stopped"
    assert left == "left running: ['MainThread'] "
    assert [p.name for p in (run / "checkpoints").iterdir()] == [f"step-{done:08}"]
    assert train("clip", pictures, run, "--steps", done + 1, "--resume") == 0
    assert steps_of(run) == list(range(done + 1))
