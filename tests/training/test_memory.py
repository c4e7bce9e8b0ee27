"""Negatives of earlier steps: the loss is that of the larger batch, its gradient this step's."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from limner.errors import BadInput
from limner.training import _checkpoint
from limner.training._memory import Memory
from limner.training.clip import Clip, clip
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars, tiny_clip

PLAN = Plan(steps=6, batch_size=8, learning_rate=1e-3, warmup_steps=2, save_every=3, seed=4)
TINY = dict(vocab_size=560, length=12, size=32, width=64, layers=1, patch=16)


def units(rows, seed):
    made = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    return F.normalize(made, dim=1)


def test_it_keeps_the_newest_pairs_and_gives_them_when_it_is_full():
    memory = Memory(5, 4)
    first, second = (units(3, 1), units(3, 2)), (units(3, 3), units(3, 4))
    memory.keep(*first)
    assert memory.beside(*second)[0] is second[0]  # three of five: nothing is added
    memory.keep(*second)
    for k, (own, beside) in enumerate(zip(first, memory.beside(*first))):
        assert torch.equal(beside[:3], own)
        assert torch.equal(beside[3:], torch.cat([first[k], second[k]])[-5:])
    memory.keep(units(7, 5), units(7, 6))  # more than it holds
    assert torch.equal(memory.pictures, units(7, 5)[-5:]) and memory.filled == 5


def test_the_loss_is_cross_entropy_over_all_pairs_and_moves_this_step_only():
    tested = tiny_clip()
    tested.memory = Memory(6, tested.built["width"])
    batch = tested.batch(0, 4, 0, 1)
    with torch.no_grad():
        kept = [part.repeat(2, 1)[:6].roll(1, 1) for part in tested.towers(*batch)[:2]]
    tested.memory.keep(*kept)
    said = []
    tested.learn("towers", batch, 0, said.append)
    pictures, texts, scale = tested.towers(*batch)
    logits = scale * torch.cat([pictures, kept[0]]) @ torch.cat([texts, kept[1]]).T
    own = torch.arange(10)
    wanted = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(said[0], wanted)
    parameters = [tested.towers.logit_scale, tested.model.visual_projection.weight]
    for ours, theirs in zip(
        torch.autograd.grad(said[0], parameters), torch.autograd.grad(wanted, parameters)
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_a_run_with_memory_resumes_bit_for_bit_and_another_goes_on_from_it(tmp_path):
    list(clip(Bars(), tmp_path / "whole", PLAN, memory=12, **TINY))
    half = clip(Bars(), tmp_path / "half", PLAN, memory=12, **TINY)
    for progress in half:
        if progress.step == 3:
            half.close()
    list(clip(Bars(), tmp_path / "half", PLAN, memory=12, resume=True, **TINY))
    whole, resumed = (
        _checkpoint.read(_checkpoint.newest(tmp_path / run / "checkpoints"))[0]["towers.weights"]
        for run in ("whole", "half")
    )
    assert whole.keys() == resumed.keys() and "memory.pictures" in whole
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    from safetensors.torch import load_file

    plan = replace(PLAN, steps=1, learning_rate=1e-9)
    begun = str(tmp_path / "whole" / "model")
    list(clip(Bars(), tmp_path / "on", plan, start=begun))  # with its own sizes and words
    before, after = (
        load_file(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "on")
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=1e-4)
    words = [(tmp_path / run / "model" / "tokenizer.json").read_text() for run in ("whole", "on")]
    assert words[0] == words[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [(dict(memory=-1), "memory -1"), (dict(start="nowhere/at-all"), "no model folder")],
)
def test_refuses_options_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        list(clip(Bars(), tmp_path / "run", PLAN, **TINY, **options))


def test_without_memory_there_is_none():
    assert isinstance(tiny_clip(), Clip) and tiny_clip().memory is None
