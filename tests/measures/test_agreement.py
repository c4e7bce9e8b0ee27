"""agreement: what is counted, against embeddings by hand; who may judge; what is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from limner import open_clip
from limner.errors import BadInput
from limner.measures._prompts import prompts
from limner.measures._share import Share
from limner.measures.agreement import SCENES, Asked, Look, agreement
from limner.models import embedded
from limner.picture import Picture
from limner.worlds.scenes import World

Paint = Callable[[list[str]], list[Picture]]


@pytest.fixture
def flat() -> Paint:
    """Paints every prompt in a colour of its own."""

    def paint(said: list[str]) -> list[Picture]:
        colours = [torch.tensor([len(each) % 7 / 7, 0.5, len(each) % 3 / 3]) for each in said]
        return [Picture(colour[:, None, None].expand(3, 48, 40)) for colour in colours]

    return paint


@pytest.fixture
def paint_scenes() -> Paint:
    """Paints what the prompts say, as the world does."""
    world, known = World(7, split="all"), {each.words: each.scene for each in prompts()}

    def paint(said: list[str]) -> list[Picture]:
        drawn = [world.paint(known[each], np.random.default_rng(3))[0] for each in said]
        return [Picture(torch.tensor(each).permute(2, 0, 1) / 255) for each in drawn]

    return paint


def test_it_counts_who_comes_first() -> None:
    rows = [(0.9, 0.8, 0.7), (0.7, 0.8, 0.7), (0.2, 0.8, 0.9), (0.6, 0.5, 0.1)]
    look = Look("a", tuple(Asked(f"p{i}", *row) for i, row in enumerate(rows)))
    assert look.above == Share(2, 4)  # a tie is not above
    assert look.truth == Share(3, 4)
    assert look.cosine == pytest.approx(0.6)
    assert json.loads(json.dumps(look.told()))["above"]["right"] == 2


def test_cosines_are_those_of_the_clips_and_of_twenty_scenes_each(
    flat: Paint, clip_folder: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = agreement(
        flat, count=3, clip=str(clip_folder), judge_by="embedded",
        watch=lambda *done: told.append(done),
    )  # fmt: skip
    assert (found.held_out.clip, found.followed[0].clip) == ("embedded", str(clip_folder))
    assert told == [(1, 3), (2, 3), (3, 3)] and found.seconds is None
    chosen = prompts(3)
    scenes = torch.from_numpy(World(1, split="held_out").draw(range(3 * SCENES)).pictures)
    for look in (found.held_out, *found.followed):
        clip = open_clip(look.clip)
        seen = clip.embed_pictures(scenes.permute(0, 3, 1, 2) / 255)
        for i, (asked, prompt, shown) in enumerate(
            zip(look.asked, chosen, flat([each.words for each in chosen]))
        ):
            words = clip.embed_texts([prompt.words])[0]
            others = seen[SCENES * i : SCENES * (i + 1)] @ words
            assert asked.prompt == prompt.words
            assert asked.scenes == pytest.approx(float(others.max()), abs=1e-5)
            painting = float(clip.embed_pictures(shown.pixels[None])[0] @ words)
            assert asked.painting == pytest.approx(painting, abs=1e-5)


def test_the_world_s_pictures_are_above_and_blank_ones_are_not(
    flat: Paint, paint_scenes: Paint, clip_folder: Path
) -> None:
    how = dict(count=6, clip=str(clip_folder), judge_by="embedded")
    best, blank = agreement(paint_scenes, **how).held_out, agreement(flat, **how).held_out
    assert best.above.value > 0.8 and best.truth.value > 0.8
    assert blank.above.value < 0.3 and blank.truth == best.truth
    assert best.cosine > blank.cosine


def test_who_was_followed_does_not_judge(
    flat: Paint, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(clip_folder, tmp_path / "copy"))
    weights = load_file(copy / "model.safetensors")
    halves = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
    save_file(halves, copy / "model.safetensors")
    how = dict(count=1, clip=["embedded", str(clip_folder)])
    for judge in ("embedded", str(copy)):  # by its weights, not by its name
        with pytest.raises(BadInput, match="no judge of its own work"):
            agreement(flat, judge_by=judge, **how)
    told = agreement(flat, judge_by="embedded", judge_followed=True, **how)
    assert told.held_out == told.followed[0]
    monkeypatch.setattr(embedded, "here", lambda: ["embedded"])
    with pytest.raises(BadInput, match="every CLIP that limner has here is followed"):
        agreement(flat, **how)
    assert agreement(flat, count=1, clip=str(clip_folder)).held_out.clip == "embedded"


def test_a_stopped_run_goes_on_with_what_it_kept(clip_folder: Path, tmp_path: Path) -> None:
    how = dict(
        generator="fourier", count=3, clip=str(clip_folder), judge_by="embedded", steps=1, views=1,
    )  # fmt: skip

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agreement(**how, folder=tmp_path / "kept", watch=stop)
    assert len(list((tmp_path / "kept").glob("*.png"))) == 2
    whole = agreement(**how, folder=tmp_path / "kept")
    assert whole.seconds is not None and whole.seconds > 0
    fresh = agreement(**how, folder=tmp_path / "fresh")
    assert fresh.held_out == whole.held_out and fresh.followed == whole.followed
    assert agreement(**how, folder=tmp_path / "kept").seconds is None
    with pytest.raises(BadInput, match="give another"):
        agreement(**how | dict(steps=2), folder=tmp_path / "kept")


def test_what_it_refuses(flat: Paint) -> None:
    for said, message in (
        (dict(count=0), "count 0"),
        (dict(views=10**6), "views 1000000"),
        (dict(generator="oil"), "no generator 'oil'"),
        (dict(clip="embedded", judge_by="/no/clip"), "no model at"),
    ):
        with pytest.raises(BadInput, match=message):
            agreement(flat, **said)  # type: ignore[arg-type]
