"""The prior's recipe: it learns which embedding a caption's picture has, and its folder says so."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import open_clip
from limner.errors import BadInput
from limner.models.prior import open_prior
from limner.training._pictured import pictured
from limner.training.loop import Plan, train
from limner.training.prior import Prior, build, prior

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from _toy import COLOURS, PLACES, Bars
from _unclip import even_clip

PLAN = Plan(
    steps=220, batch_size=48, learning_rate=0.004, warmup_steps=10, decay=0.5, ema=0.95, seed=1,
    weight_decay=0.0, save_every=10_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    return even_clip(tmp_path_factory.mktemp("even") / "clip", clip_folder)


@pytest.fixture
def recipe(clip: Path, tmp_path: Path) -> Prior:
    eye = open_clip(clip)
    torch.manual_seed(0)
    data = pictured(Bars(480), eye, tmp_path / "kept", 480, None)
    return Prior(data, build(32, 24, 32, 1), eye, seed=2)


def test_captions_lead_to_their_pictures_embeddings(recipe: Prior, tmp_path: Path) -> None:
    """Twelve kinds of pictures, each with a caption of its own, seen by a CLIP that knows no words:
    the texts' embeddings are nowhere near the pictures', what is learned is."""
    before = _told_apart(recipe)
    list(train(recipe, PLAN, tmp_path / "run"))
    assert _told_apart(recipe) >= 11 > 6 > before
    after = json.loads((tmp_path / "run" / "model" / "limner.json").read_text())["measured"]
    assert after["prior_cosine"] > 0.95 and after["prior_first"] > after["text_first"]


def _told_apart(recipe: Prior) -> int:
    """Of the twelve captions, those whose sample lies nearest to their own pictures."""
    texts = [f"a {colour} bar at the {place}" for colour in COLOURS for place in PLACES]
    means = torch.stack([_mean(recipe, text) for text in texts])
    every = torch.from_numpy(recipe.data.arrays["embeddings"]).float()
    said = recipe.sample(texts, scale=1.0) - every.mean(0)
    return int(((said @ means.T).argmax(1) == torch.arange(12)).sum())


def _mean(recipe: Prior, caption: str) -> torch.Tensor:
    """Of all pictures that have it, less the mean of all: a direction."""
    every = torch.from_numpy(recipe.data.arrays["embeddings"]).float()
    own = [i for i, text in enumerate(recipe.data.captions) if text == caption]
    found = every[own].mean(0) - every.mean(0)
    return found / found.norm()


def test_its_numbers_are_standard_and_a_tenth_of_the_words_are_left_out(recipe: Prior) -> None:
    every = torch.from_numpy(recipe.data.arrays["embeddings"]).float()
    standard = recipe._standard(every)
    torch.testing.assert_close(standard.mean(0), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard.std(0), torch.ones(32), atol=1e-3, rtol=0)
    batch = recipe.batch(0, 3000, 0, 1)
    empty = sum(text == "" for text in batch["words"]) / 3000
    assert 0.08 < empty < 0.12
    assert batch["timesteps"].min() < 10 and batch["timesteps"].max() > 990


def test_the_run_goes_on_and_opens(clip: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=2, batch_size=4, save_every=1, preview_every=2)
    given: dict[str, Any] = dict(clip=str(clip), width=32, layers=1, pictures=24)
    list(prior(Bars(30), tmp_path / "whole", plan, **given))
    first = prior(Bars(30), tmp_path / "parts", plan, **given)
    next(first)
    first.close()
    list(prior(Bars(30), tmp_path / "parts", plan, **given, resume=True))
    name = "diffusion_pytorch_model.safetensors"
    files = [(tmp_path / run / "model" / name).read_bytes() for run in ("whole", "parts")]
    assert files[0] == files[1]
    line = json.loads((tmp_path / "whole" / "previews" / "measured.jsonl").read_text())
    assert line["step"] == 2 and -1 <= line["prior_cosine"] <= 1
    found = open_prior(tmp_path / "whole" / "model")
    assert (found.steps, found.size) == (25, 32)
    told = found.told(["a red cube"])
    x, times = torch.randn(1, 32, 1, 1), torch.tensor([500.0])
    assert found(x, times, encoder_hidden_states=told).sample.shape == x.shape


def test_what_makes_no_sense_is_said(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="width 40: give a multiple of 32"):
        list(prior(Bars(), tmp_path / "run", PLAN, width=40))
    with pytest.raises(BadInput, match="a prior takes one where they are of one width"):
        list(prior(Bars(), tmp_path / "run", PLAN, clip=str(clip_folder)))
