"""adapt: the folder it leaves, the same bytes again, stopping and going on, what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import limner
from limner import adapt, invert, mix, replay
from limner.errors import BadInput
from limner.models.stylegan import open_stylegan
from limner.picture import load
from limner.tasks import Progress, Stopped

sys.path.insert(0, str(Path(__file__).parent))
from _toys import stylegan_folder

WORDS = ("a cat", "a red cube")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("own") / "model")


@pytest.fixture
def small(own: Path, clip_folder: Path) -> dict[str, Any]:
    return dict(model=own, clip=str(clip_folder), steps=4, choice_batch=2, rate=0.01, count=2)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def stopping(at: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[..., None]:
    def watch(progress: Progress) -> None:
        if progress.step == at:
            raise error

    return watch


def test_the_folder_is_a_generator_of_its_own(
    small: dict[str, Any], own: Path, tmp_path: Path
) -> None:
    found = adapt(*WORDS, output=tmp_path / "cube", **small)
    assert sorted(file.name for file in (tmp_path / "cube").iterdir()) == [
        "README.md", "before-after.png", "config.json", "generator.safetensors", "limner.json",
        "search.safetensors",
    ]  # fmt: skip
    opened, source = open_stylegan(tmp_path / "cube"), open_stylegan(own)
    assert opened.fingerprint == found.model.fingerprint != source.fingerprint
    assert opened.discriminator is None
    assert opened.layers == source.layers
    card = json.loads((tmp_path / "cube" / "limner.json").read_text())
    told = card["adapted"]
    assert told["model"]["fingerprint"] == source.fingerprint
    assert {**told["arguments"], "source": "a cat", "target": "a red cube", "steps": 4, "seed": 0,
            "layers": 6} == told["arguments"]  # fmt: skip
    assert [len(clip["fingerprint"]) for clip in told["clips"]] == [64]
    assert "a red cube, from a cat" in (tmp_path / "cube" / "README.md").read_text()


def test_what_takes_a_stylegan_takes_it(small: dict[str, Any], own: Path, tmp_path: Path) -> None:
    found = adapt(*WORDS, output=tmp_path / "cube", **small)
    place = found.after[0].save(tmp_path / "face.png")
    inverted = invert(place, generator="stylegan=w", steps=2, model=tmp_path / "cube")
    assert inverted.picture.pixels.shape == (3, 64, 64)
    both = [mix("seed:7", "seed:8", model=model) for model in (own, tmp_path / "cube")]
    assert not torch.equal(both[0].pixels, both[1].pixels)


def test_a_sheet_of_before_and_after(small: dict[str, Any], tmp_path: Path) -> None:
    found = adapt(*WORDS, output=tmp_path / "cube", **small)
    assert len(found.before) == len(found.after) == 2
    for before, after in zip(found.before, found.after):
        assert before.pixels.shape == after.pixels.shape == (3, 64, 64)
        assert not torch.equal(before.pixels, after.pixels)
    sheet = load(tmp_path / "cube" / "before-after.png")
    assert sheet.bytes() == found.sheet.bytes()
    assert sheet.recipe is not None and len(sheet.recipe["of"]) == 4


def test_one_seed_twice_gives_the_same_bytes(small: dict[str, Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        adapt(*WORDS, output=tmp_path / name, **small)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    adapt(*WORDS, output=tmp_path / "other", **small, seed=1)
    one, other = (files(tmp_path / name)["generator.safetensors"] for name in ("one", "other"))
    assert one != other


def test_stopped_and_gone_on_with_it_is_the_same(small: dict[str, Any], tmp_path: Path) -> None:
    adapt(*WORDS, output=tmp_path / "through", **small)
    place = tmp_path / "stopped"
    with pytest.raises(Stopped) as stop:
        adapt(*WORDS, output=place, watch=stopping(2), **small)
    assert stop.value.pictures[0].recipe is not None
    assert stop.value.pictures[0].recipe["arguments"]["steps"] == 2
    two = adapt(*WORDS, output=tmp_path / "two", **small | dict(steps=2))
    assert files(place) == files(tmp_path / "two")  # what is kept is what two steps give
    assert torch.equal(two.after[0].pixels, stop.value.pictures[0].pixels)
    adapt(*WORDS, output=place, resume=True, **small)
    assert files(place) == files(tmp_path / "through")
    adapt(*WORDS, output=tmp_path / "two", resume=True, **small)  # more steps than it was begun for
    assert files(tmp_path / "two") == files(place)


def test_a_search_is_kept_whatever_stops_it(small: dict[str, Any], tmp_path: Path) -> None:
    class Halt(Exception):
        pass

    with pytest.raises(Halt):
        adapt(*WORDS, output=tmp_path / "cube", watch=stopping(3, Halt), **small)
    assert [file.name for file in (tmp_path / "cube").iterdir()] == ["search.safetensors"]
    through = adapt(*WORDS, **small)
    found = adapt(*WORDS, output=tmp_path / "cube", resume=True, **small)
    assert found.sheet.bytes() == through.sheet.bytes()


def test_nothing_is_left_where_nothing_was_done(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        adapt(*WORDS, output=tmp_path / "cube", **small | dict(layers=10))
    assert not (tmp_path / "cube").exists()


def test_pictures_come_again(small: dict[str, Any], tmp_path: Path) -> None:
    found = adapt(*WORDS, **small)
    for k, picture in enumerate((found.after[1], found.before[1])):
        again = replay(picture.save(tmp_path / f"{k}.png"))
        assert again.identical
        assert again.notes == ()


def test_steps_are_watched(small: dict[str, Any]) -> None:
    seen: list[Progress] = []
    found = adapt(*WORDS, watch=seen.append, **small)
    assert [(each.step, each.total) for each in seen] == [(k, 4) for k in range(1, 5)]
    assert torch.equal(seen[-1].preview()[0].pixels, found.sheet.pixels)
    assert not torch.equal(seen[0].preview()[0].pixels, found.sheet.pixels)


def test_the_clip_for_faces_leads_where_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from limner.models import embedded
    from limner.tasks.adapt import _followed

    monkeypatch.setattr(embedded, "_is_here", lambda name: name != "robust")
    assert _followed(None) == ("faces",)
    assert _followed("second, embedded") == ("second", "embedded")
    monkeypatch.setattr(embedded, "_is_here", lambda name: name in ("embedded", "second"))
    assert _followed(None) == ("second",)


@pytest.mark.parametrize(
    "wrong, match",
    [
        (dict(generator="biggan"), "choose of stylegan"),
        (dict(layers=0), "layers 0: give a whole number"),
        (dict(layers=10), r"layers \(of the 9 that can move\) 10: .* from 1 to 9"),
        (dict(rate=0), "rate 0: give a positive number"),
        (dict(rate=float("nan")), "rate nan: give"),
        (dict(steps=0), "steps 0: give"),
        (dict(batch=0), "batch 0: give"),
        (dict(choice_batch=0), "choice-batch 0: give"),
        (dict(choice_every=0), "choice-every 0: give"),
        (dict(truncation=1.5), "truncation 1.5: give"),
        (dict(views=0), "views 0: give"),
        (dict(seed=-1), "seed -1: give"),
        (dict(count=0), "count 0: give"),
        (dict(model="/nowhere"), "no model at"),
        (dict(clip="/nowhere"), "no model at"),
        (dict(resume=True), "say which with output"),
        (dict(output="new", resume=True), "no search in 'new'"),
        (dict(output="full"), "'full' is there already"),
        (dict(output="full/note.txt"), "is there already"),
        (dict(output="no/such/folder"), "there is no folder"),
    ],
)
def test_refuses(
    wrong: dict[str, Any], match: str, small: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match=match):
        adapt(*WORDS, **small | wrong)


@pytest.mark.parametrize(
    "words, match",
    [(("a cat", " "), "the target is empty"), (("a cat", "a cat"), "both 'a cat'")],
)
def test_refuses_words(words: tuple[str, str], match: str, small: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=match):
        adapt(*words, **small)


def test_another_search_is_not_gone_on_with(
    small: dict[str, Any], clip_folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "cube"
    adapt(*WORDS, output=place, **small)
    before = files(place)
    with pytest.raises(BadInput, match="holds a search: --resume goes on"):
        adapt(*WORDS, output=place, **small)
    for other, match in (
        (dict(seed=3), "begun with another seed"),
        (dict(rate=0.1, layers=2), "begun with another layers, rate"),
        (dict(steps=3), "has 4 steps already"),
    ):
        with pytest.raises(BadInput, match=match):
            adapt(*WORDS, output=place, resume=True, **small | other)
    with pytest.raises(BadInput, match="begun with another target"):
        adapt("a cat", "a dog", output=place, resume=True, **small)
    assert files(place) == before
    state = place / "search.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(BadInput, match="cannot read the search"):
        adapt(*WORDS, output=place, resume=True, **small)


def test_it_is_public() -> None:
    assert limner.adapt is adapt
