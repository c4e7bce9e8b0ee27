"""Two processes, as torchrun starts them, against one with the same batch."""

import json
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from limner.errors import BadInput
from limner.training import _checkpoint
from limner.training.loop import train

sys.path.insert(0, str(Path(__file__).parent))
import _toy
from _toy import PLAN, Bars, Toy, finish, start

THREE = replace(PLAN, steps=3, batch_size=12, learning_rate=1e-4)


def together(target, *arguments, ranks=2):
    """Exit statuses of the target in processes that find one another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [start(_toy.ranked, rank, ranks, port, target, arguments) for rank in range(ranks)]
    try:
        return [finish(child) for child in children]
    finally:
        for child in children:
            child.kill()


def state(run):
    tensors, meta = _checkpoint.read(_checkpoint.newest(run / "checkpoints"))
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return tensors, meta, log


@pytest.mark.parametrize(
    ("recipe", "player", "weight"),
    [
        ("clip", "towers", "pictures.projection.weight"),
        ("diffusion", "denoiser", "unet.conv_in.weight"),
    ],
)
def test_three_steps_are_those_of_one_process(tmp_path, recipe, player, weight):
    """CLIP in micro-batches, too: 6 pairs in each process, 4 at once."""
    assert finish(start(_toy.training, tmp_path / "one", recipe, replace(THREE, steps=1))) == 0
    first, _, _ = state(tmp_path / "one")
    assert finish(start(_toy.training, tmp_path / "one", recipe, THREE)) == 0
    assert together(_toy.training, tmp_path / "two", recipe, THREE) == [0, 0]
    (one, _, log_of_one), (two, meta, log_of_two) = state(tmp_path / "one"), state(tmp_path / "two")
    assert meta["step"] == 3 and one.keys() == two.keys()
    for name, moment in one[f"{player}.optimiser"].items():
        torch.testing.assert_close(two[f"{player}.optimiser"][name], moment, atol=1e-6, rtol=1e-3)
    for name in one[f"{player}.ema"]:
        # where a gradient is but rounding (a bias before a norm), Adam makes whole steps of it
        sure = one[f"{player}.optimiser"][f"{name}/exp_avg_sq"].sqrt() > 1e-5
        for stem in (f"{player}.weights", f"{player}.ema"):
            a, b = one[stem][name][sure], two[stem][name][sure]
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0, msg=name)
    moved = one[f"{player}.weights"][weight] - first[f"{player}.weights"][weight]
    assert moved.abs().max() > 1e-4
    for a, b in zip(log_of_one, log_of_two, strict=True):
        assert a.keys() == b.keys() and all(b[k] == pytest.approx(a[k], abs=1e-4) for k in a)
    assert log_of_one[0]["step"] == 0 and len(log_of_one) == 3


def interrupted(run, rank_of_signal):
    """A training of which one process alone is told to stop, in its step 5."""

    class Interrupted(Toy):
        def learn(self, *arguments):
            if arguments[2] == 5 and os.environ["RANK"] == rank_of_signal:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().learn(*arguments)

    last = list(train(Interrupted(), PLAN, run))[-1]
    assert last.step == 6


@pytest.mark.parametrize("rank", ["0", "1"])
def test_all_stop_when_one_is_asked_to(tmp_path, rank):
    assert together(interrupted, tmp_path, rank) == [0, 0]
    assert state(tmp_path)[1]["step"] == 6
    assert together(_toy.training, tmp_path, "toy") == [0, 0]  # and go on
    assert state(tmp_path)[1]["step"] == 12 and (tmp_path / "model" / "net.pt").exists()


def three(run):
    with pytest.raises(BadInput, match="batch_size is 8 over 3 processes: give a multiple"):
        next(train(Toy(), PLAN, run))


def test_refuses_a_batch_that_cannot_be_shared(tmp_path):
    assert together(three, tmp_path, ranks=3) == [0, 0, 0]


def command(folder, run):
    from limner.cli import main

    options = "--size 32 --width 64 --layers 1 --patch 16 --vocab-size 560 --length 12 --pixels 32"
    said = f"train clip --data {folder} -o {run} --steps 2 --batch-size 4 {options}"
    sys.stdout = (run.parent / f"said-{os.environ['RANK']}").open("w", buffering=1)
    assert main([*said.split(), "--json"]) == 0


def test_one_of_them_learns_the_words_exports_and_speaks(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (picture, caption) in enumerate(zip(*Bars().batch(range(12)), strict=True)):
        Image.fromarray(picture).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(caption)
    assert together(command, folder, tmp_path / "run") == [0, 0]
    assert json.loads((tmp_path / "said-0").read_text())["step"] == 2
    assert (tmp_path / "said-1").read_text() == ""
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
