"""The recipe of StyleCLIP's mapper: its losses by hand, and that it learns, resumes and opens."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.errors import BadInput
from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.models.clip import open_clip
from limner.models.mapper import open_mapper
from limner.models.stylegan import open_stylegan
from limner.noise import Noise
from limner.prompt import parse
from limner.training.loop import Plan
from limner.training.mapper import Mapper, mapper

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder

PLAN = Plan(steps=4, batch_size=3, learning_rate=0.02, warmup_steps=1, save_every=2, seed=2)
WHOLE = Camera(degrees=0, shift=0, perspective=0, flip=0, jitter=0, grain=0, cut_power=0)
TEXT = "a red cat"


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("styled") / "model", (6, 5, 4))


@pytest.fixture
def recipe(styled: Path, clip_folder: Path) -> Mapper:
    torch.manual_seed(1)
    judge = Clip([open_clip(clip_folder)], parse(TEXT), "cosine", views=1, camera=WHOLE)
    made = Mapper(open_stylegan(styled), judge, TEXT, seed=1)
    made.identities = None  # whatever network is embedded
    return made


def trained(run: Path, styled: Path, clip: Path, plan: Plan = PLAN, **options: Any) -> Any:
    return mapper(TEXT, run, plan, generator=str(styled), clip=str(clip), views=2, **options)


def test_its_losses_are_the_paper_s(recipe: Mapper, clip_folder: Path) -> None:
    """1 − cos to the text, and .8 of the squared way in deviations of w."""
    noise, told = recipe.batch(0, 3, 0, 1), []
    logged = recipe.learn("mapper", noise, 0, told.append)
    model, clip = recipe.generator, open_clip(clip_folder)
    w_plus = recipe.begin(noise)
    change = recipe.network(w_plus).detach()
    moved = w_plus + change * model.w_std
    pictures = model.synthesis(moved, torch.zeros(1, model.noise)).clamp(0, 1)
    apart = 1 - clip.embed_pictures(pictures) @ clip.embed_texts([TEXT])[0]
    way = (change.double() ** 2).mean()
    assert logged["clip"].item() == pytest.approx(apart.mean().item(), abs=2e-3)
    assert logged["latent"].item() == pytest.approx(way.item(), rel=1e-4)
    wanted = logged["clip"] + 0.08 * logged["latent"]
    assert told[0].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_where_faces_are_told_apart_that_counts_a_tenth(recipe: Mapper) -> None:
    class Same:
        def __init__(self, reference: torch.Tensor) -> None:
            self.reference = reference

        def losses(self, pictures: torch.Tensor, noise: Noise, step: int) -> Any:
            yield (pictures - self.reference).square().flatten(1).sum(1)

    noise, told = recipe.batch(0, 3, 0, 1), []
    recipe.identities = Same
    logged = recipe.learn("mapper", noise, 0, told.append)
    wanted = logged["clip"] + 0.08 * logged["latent"] + 0.1 * logged["identity"]
    assert logged["identity"] > 0
    assert told[0].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_it_learns_from_two_pictures_mixed_and_truncated(recipe: Mapper) -> None:
    noise = recipe.batch(0, 40, 0, 1)
    w_plus, model = recipe.begin(noise), recipe.generator
    ends = [
        model.truncated(model.mapping(noise.normal((8,), purpose=of)), 0.7)
        for of in ("z", "other z")
    ]
    cuts = []
    for row, first, second in zip(w_plus, *ends):
        cut = next(n for n in range(7) if n == 6 or not torch.equal(row[n], first))
        assert all(torch.equal(each, second) for each in row[cut:])
        cuts.append(cut)
    assert set(cuts) == set(range(1, 7))
    other = recipe.begin(recipe.batch(1, 40, 0, 1))
    assert not any(torch.equal(a, b) for a in w_plus for b in other)


def test_half_of_it_are_pictures_that_were_inverted(recipe: Mapper) -> None:
    noise = recipe.batch(0, 200, 0, 1)
    drawn = recipe.begin(noise)
    recipe.found = torch.arange(5.0)[:, None, None].expand(5, *drawn.shape[1:]) + 100
    w_plus = recipe.begin(noise)
    theirs = w_plus[:, 0, 0] >= 100
    assert 70 < int(theirs.sum()) < 130
    assert set(w_plus[theirs].unique().tolist()) == {100.0, 101.0, 102.0, 103.0, 104.0}
    assert torch.equal(w_plus[~theirs], drawn[~theirs])


def test_only_the_mapper_moves(recipe: Mapper) -> None:
    recipe.learn("mapper", recipe.batch(0, 3, 0, 1), 0, torch.Tensor.backward)
    assert all(weight.grad is not None for weight in recipe.network.parameters())
    assert all(weight.grad is None for weight in recipe.generator.network.parameters())


def test_it_comes_nearer_to_its_text(tmp_path: Path, styled: Path, clip_folder: Path) -> None:
    plan = replace(PLAN, steps=40, batch_size=4, learning_rate=0.1, save_every=100, ema=0.0)
    list(
        trained(tmp_path / "run", styled, clip_folder, plan, latent_weight=0.0, identity_weight=0.0)
    )
    found, clip = open_mapper(tmp_path / "run" / "model"), open_clip(clip_folder)
    model, noise = found.generator, Noise(9, range(12))
    w = model.truncated(model.mapping(noise.normal((8,), purpose="new")), 0.7)
    w_plus, still = model.repeated(w), torch.zeros(1, model.noise)
    words = clip.embed_texts([TEXT])[0]
    before, after = (
        (clip.embed_pictures(model.synthesis(each, still).clamp(0, 1)) @ words).mean()
        for each in (w_plus, w_plus + found.change(w_plus))
    )
    assert found.text == TEXT and after > before + 0.01


def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, styled: Path, clip_folder: Path
) -> None:
    list(trained(tmp_path / "whole", styled, clip_folder))
    for progress in trained(tmp_path / "parts", styled, clip_folder):
        if progress.step == 3:
            break
    list(trained(tmp_path / "parts", styled, clip_folder, resume=True))
    whole, parts = (
        (tmp_path / run / "model" / "mapper.safetensors").read_bytes() for run in ("whole", "parts")
    )
    assert whole == parts


def test_previews_show_pictures_and_what_becomes_of_them(
    tmp_path: Path, styled: Path, clip_folder: Path
) -> None:
    from PIL import Image

    list(trained(tmp_path, styled, clip_folder, replace(PLAN, steps=2, preview_every=2)))
    with Image.open(tmp_path / "previews" / "step-000002.png") as shown:
        assert shown.width > 3 * shown.height  # eight pictures above eight


def test_what_cannot_be_is_told(tmp_path: Path, styled: Path, clip_folder: Path) -> None:
    for options, reason in (
        ({"text": " "}, "the text is empty"),
        ({"views": 0}, "views 0"),
        ({"latent_weight": -1.0}, "latent_weight -1.0"),
        ({"identity_weight": float("nan")}, "identity_weight nan"),
        ({"generator": "nowhere"}, "no model at 'nowhere'"),
        ({"clip": "nowhere"}, "no model at 'nowhere'"),
        ({"pictures": "nowhere"}, "'nowhere'"),
        ({"inverted": 0}, "inverted 0"),
    ):
        given = {"text": TEXT, "generator": str(styled), "clip": str(clip_folder), **options}
        with pytest.raises(BadInput, match=reason):
            list(mapper(run=tmp_path / "run", plan=PLAN, **given))
    assert not (tmp_path / "run").exists()
