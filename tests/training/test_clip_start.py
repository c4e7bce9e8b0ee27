"""Going on from a CLIP: with its weights, its words and its sizes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.training.clip import clip
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import TINY, Bars

PLAN = Plan(steps=2, batch_size=8, learning_rate=1e-3, warmup_steps=2, save_every=3, seed=4)


def test_it_goes_on_from_a_folder_with_its_own_sizes_and_words(tmp_path):
    from safetensors.torch import load_file

    list(clip(Bars(), tmp_path / "first", PLAN, **TINY))
    plan = replace(PLAN, steps=1, learning_rate=1e-9)
    begun = str(tmp_path / "first" / "model")
    list(clip(Bars(), tmp_path / "on", plan, start=begun))
    before, after = (
        load_file(tmp_path / run / "model" / "model.safetensors") for run in ("first", "on")
    )
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=1e-4)
    words = [(tmp_path / run / "model" / "tokenizer.json").read_text() for run in ("first", "on")]
    assert words[0] == words[1]


@pytest.mark.parametrize("text", ["transformer", "bag_of_words"])
def test_it_goes_on_from_a_resnet(tmp_path, text):
    from safetensors.torch import load_file

    kinds = dict(tower="resnet", text=text, channels=4)
    list(clip(Bars(), tmp_path / "first", PLAN, **kinds, **TINY))
    plan = replace(PLAN, steps=1, learning_rate=1e-9)
    begun = tmp_path / "first" / "model"
    list(clip(Bars(), tmp_path / "on", plan, start=str(begun)))
    on = tmp_path / "on" / "model"
    assert (on / "towers.json").read_text() == (begun / "towers.json").read_text()
    before, after = (load_file(folder / "towers.safetensors") for folder in (begun, on))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        if "running" not in name and "batches" not in name:  # those see the new pictures
            torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=1e-4)


def test_refuses_what_is_no_clip(tmp_path):
    with pytest.raises(BadInput, match="no model folder at 'nowhere/at-all'"):
        list(clip(Bars(), tmp_path / "run", PLAN, start="nowhere/at-all"))
    assert not (tmp_path / "run").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(BadInput, match="no CLIPModel can be read"):
        list(clip(Bars(), tmp_path / "run", PLAN, start=str(other)))
