"""The pointing game: maps that are known to point right, wrong, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from limner import BadInput, open_model
from limner.measures import attention as measured
from limner.measures.attention import attention
from limner.models._words import words_of
from limner.worlds.scenes import World

Get = Callable[[str], Path]
WORLD = World(1, split="held_out")


def pointing(inside: bool) -> Any:
    """In the place of the network's maps: each noun's tokens at a true pixel of it, or at none."""

    def maps(model: Any, pictures: Any, captions: Any, seed: int, samples: Any) -> torch.Tensor:
        drawn = WORLD.draw(samples, annotate=True)
        out = torch.rand(len(captions), model.tokenizer.length, 16, 16) * 0.01
        for row, scene in enumerate(drawn.scenes):
            words = [each for each in words_of(model.tokenizer, captions[row])]
            masks, taken = torch.from_numpy(drawn.masks[row]), set()
            for number, thing in enumerate(scene.things):
                heads = {thing.noun.split()[-1], measured.plural(thing.noun)}
                at = next(i for i, w in enumerate(words) if w.text in heads and i not in taken)
                taken.add(at)
                mask = masks[number :: len(scene.things)].any(0).float()[None, None]
                heat = functional.adaptive_avg_pool2d(mask, (16, 16))[0, 0]
                out[row, list(words[at].places)] = heat if inside else -heat
        return out

    return maps


def test_what_points_right_is_right_and_what_points_beside_it_is_wrong(monkeypatch: Any) -> None:
    monkeypatch.setattr(measured, "_maps", pointing(True))
    found = attention(count=24)
    assert found.hits.value > 0.9 and found.hits.n == found.single.n + found.several.n > 24
    assert 0.05 < found.chance < 0.3
    monkeypatch.setattr(measured, "_maps", pointing(False))
    assert attention(count=24).hits.value < 0.05


def test_the_embedded_model_is_far_above_chance() -> None:
    found = attention(count=8)
    assert found.hits.value > 0.6 > 2 * found.chance and found.model.startswith("embedded")


def test_the_command(run: Any, sd_folder: Get) -> None:
    """Of a model whose words are another's; its maps are a matter of chance."""
    model = sd_folder("own")
    told = json.loads(run("measure", "attention", "--model", model, "--count", 2, "--json")[1])
    assert told["hits"]["n"] == len(told["pointed"]) >= 2
    assert "chance" in run("measure", "attention", "--model", model, "--count", 1)[1]
    status, _, err = run("measure", "attention", "--count", 0)
    assert status == 2 and "count 0" in err
    with pytest.raises(BadInput):
        attention(open_model(model), count=-1)
