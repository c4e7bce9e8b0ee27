"""replay: the same picture from its recipe, or the difference; hostile recipes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import Picture, generate, replay
from limner.errors import BadInput
from limner.tasks.replay import replay as replay_task

Get = Callable[[str], Path]


def paint(folder: Path, **options: Any) -> list[Picture]:
    options = dict(steps=3, size="32x32", seed=2, negative="dog", model=folder) | options
    return generate("a red cube", **options)


def test_a_picture_comes_again(sd_folder: Get, tmp_path: Path) -> None:
    path = paint(sd_folder("own"))[0].save(tmp_path / "out.png")
    steps: list[int] = []
    found = replay(path, watch=lambda each: steps.append(each.step))
    assert found.identical
    assert found.psnr == float("inf")
    assert found.notes == ()
    assert steps == [1, 2, 3]
    assert found.picture.bytes() == path.read_bytes()


def test_one_of_many_comes_again(sd_folder: Get, tmp_path: Path) -> None:
    pictures = paint(sd_folder("own"), count=10, sampler="euler_ancestral")
    for k in (3, 9):
        assert replay(pictures[k].save(tmp_path / f"{k}.png")).identical


def test_what_only_comes_again_among_others(
    sd_folder: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose last bits depend on the batch, as some are."""
    from limner.models._text_to_image import TextToImage

    real = TextToImage.decode
    shifted = lambda self, x: (real(self, x) + 0.01 * len(x)).clamp(0, 1)  # noqa: E731
    monkeypatch.setattr(TextToImage, "decode", shifted)
    path = paint(sd_folder("own"), count=3)[2].save(tmp_path / "out.png")
    assert replay(path).identical


def test_a_changed_pixel_is_seen(sd_folder: Get, tmp_path: Path) -> None:
    picture = paint(sd_folder("own"))[0]
    pixels = picture.pixels.clone()
    pixels[0, 5, 5] = 1 - pixels[0, 5, 5].round()
    found = replay(replace(picture, pixels=pixels).save(tmp_path / "out.png"))
    assert not found.identical
    assert 20 < found.psnr < 60


def test_another_model_is_named(sd_folder: Get, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sd_folder("own"), tmp_path / "model"))
    path = paint(folder)[0].save(tmp_path / "out.png")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "beta_end": 0.02}))
    found = replay(path)
    assert not found.identical
    assert found.notes == ("the model's files are not those it was made with",)
    shutil.move(folder, tmp_path / "moved")
    with pytest.raises(BadInput, match="give that model yourself"):
        replay(path)
    assert replay(path, model=sd_folder("own")).identical


def test_a_recipe_never_reaches_the_network(
    sd_folder: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    picture = paint(sd_folder("own"))[0]
    assert picture.recipe is not None
    recipe = picture.recipe | {"model": {"name": "someone/some-model", "fingerprint": ""}}
    with pytest.raises(BadInput, match="'someone/some-model': give that model yourself"):
        replay(replace(picture, recipe=recipe))


def test_no_recipe(tmp_path: Path, sd_folder: Get) -> None:
    picture = paint(sd_folder("own"))[0]
    with pytest.raises(BadInput, match="carries no recipe"):
        replay(picture.save(tmp_path / "out.jpg"))
    with pytest.raises(BadInput, match="carries no recipe"):
        replay(picture.save(tmp_path / "out.png", recipe=False))
    with pytest.raises(BadInput, match="No such file"):
        replay(tmp_path / "nowhere.png")
    with pytest.raises(BadInput, match="task 'sheet'"):
        replay(replace(picture, recipe={"task": "sheet"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": None},
        {"arguments": {}},
        {"arguments": {"prompt": 3}},
        {"sample": "0"},
        {"sample": 10},
        {"batch": [0, 10**9]},
        {"batch": [0]},
        {"batch": "x"},
        {"model": None},
        {"model": {"name": ["a"]}},
        {"precision": None},
        {"precision": 7},
    ],
)
def test_broken_recipes(sd_folder: Get, changes: dict[str, Any]) -> None:
    picture = paint(sd_folder("own"))[0]
    assert picture.recipe is not None
    with pytest.raises(BadInput):
        replay_task(replace(picture, recipe=picture.recipe | changes))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 10**9),
        ("steps", "3"),
        ("size", [10**6, 8]),
        ("size", 7),
        ("seed", -1),
        ("sampler", "../cli"),
        ("guidance_interval", 5),
        ("guidance_scale", "x"),
        ("negative", 5),
        ("prompt", ""),
    ],
)
def test_broken_arguments(sd_folder: Get, name: str, value: Any) -> None:
    picture = paint(sd_folder("own"))[0]
    assert picture.recipe is not None
    arguments = picture.recipe["arguments"] | {name: value}
    with pytest.raises(BadInput):
        replay_task(replace(picture, recipe=picture.recipe | {"arguments": arguments}))


def test_a_cropped_picture(sd_folder: Get) -> None:
    picture = paint(sd_folder("own"))[0]
    with pytest.raises(BadInput, match="size"):
        replay_task(replace(picture, pixels=torch.zeros(3, 8, 8)))
