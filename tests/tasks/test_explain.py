"""explain: the very picture that generate paints, maps of its words, its calls, its sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, Picture, explain, generate, open_model, restyle
from limner.levels import vp_levels
from limner.noise import Noise
from limner.picture import load
from limner.tasks._looked import LOOKED
from limner.tasks._sheet import over

Get = Callable[[str], Path]
SMALL: dict[str, Any] = dict(steps=3, precision="float32")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 64, 96))[0]).save(tmp_path / "scene.png")


def test_a_prompt_is_painted_as_generate_does_and_each_word_has_a_map(sd_folder: Get) -> None:
    model = sd_folder("own")
    found = explain("a red horse", model=model, size="64x96", seed=3, first=2, **SMALL)
    alone = generate("a red horse", model=model, size="64x96", seed=3, first=2, **SMALL)[0]
    assert torch.equal(found.picture.pixels, alone.pixels) and found.picture.recipe == alone.recipe
    assert found.words == ["a", "red", "horse"] and found.painted
    assert found.maps.shape == (3, 24, 16) and found.over.shape == (3, 96, 64)
    assert found.maps.min() >= 0 and found.maps.sum(0).max() < 1.01
    assert len(found.previews) == 3 and found.previews[0].pixels.shape == (3, 96, 64)


def test_calls_say_the_levels_and_what_guidance_did(sd_folder: Get) -> None:
    opened = open_model(sd_folder("own"))
    found = explain("a cat", model=opened, guidance_scale=4.0, **SMALL)
    assert opened.alpha_bars is not None
    wanted = vp_levels(opened.alpha_bars, 3)[:-1]
    for call, level in zip(found.calls, wanted, strict=True):
        assert call.level == pytest.approx(level, abs=1e-6)
    twice = explain("a cat", model=opened, guidance_scale=7.0, **SMALL)
    first = found.calls[0].pull  # of the same x: (s − 1) times as far
    assert twice.calls[0].pull == pytest.approx(2 * first, rel=1e-3) and first > 0
    none = explain("a cat", model=opened, guidance_scale=1.0, **SMALL)
    assert [call.pull for call in none.calls] == [0, 0, 0]
    interval = explain("a cat", model=opened, guidance_interval=(0.0, 0.9), **SMALL)
    assert interval.calls[0].pull == 0 < interval.calls[1].pull
    several = explain("a cat:2 | a dog", model=opened, sampler="heun", **SMALL)
    assert several.words == ["a", "cat", "a", "dog"] and len(several.calls) == 5
    assert len(several.previews) == 3 and several.calls[0].pull > 0


def test_a_long_prompt_has_words_in_several_windows(sd_folder: Get) -> None:
    found = explain("red " * 40, model=sd_folder("own"), **SMALL)
    assert len(found.words) == 40 and found.maps.shape[0] == 40
    assert bool((found.maps.flatten(1).amax(1) > 0).all())
    assert found.sheet().pixels.shape[2] == 1200


@pytest.mark.parametrize("task", ["generate", "restyle"])
def test_a_painted_picture_is_painted_again(
    sd_folder: Get, tmp_path: Path, scene: Path, task: str
) -> None:
    options = dict(model=sd_folder("own"), count=2, **SMALL)
    if task == "generate":
        made = generate("a cat on the grass", **options)[1]
    else:
        made = restyle(scene, "a cat on the grass", **options)[1]
    found = explain(str(made.save(tmp_path / "a.png")))
    assert found.painted and found.words == ["a", "cat", "on", "the", "grass"]
    torch.testing.assert_close(found.picture.pixels, made.pixels, rtol=0, atol=0.01)
    assert found.over.shape[1:] == made.pixels.shape[1:]
    looked = explain(str(tmp_path / "a.png"), prompt="a dog", model=sd_folder("own"), **SMALL)
    assert not looked.painted and looked.words == ["a", "dog"]


@pytest.mark.parametrize("size", [(64, 96), (37, 150), (9, 7)])
def test_any_other_is_looked_at_under_noise(sd_folder: Get, tmp_path: Path, size: Any) -> None:
    place = Picture(Noise(0, [0]).uniform((3, *size))[0]).save(tmp_path / "b.png")
    found = explain(str(place), prompt="a red cat", model=sd_folder("own"), **SMALL)
    assert torch.equal(found.picture.pixels, load(place).pixels) and not found.painted
    assert found.over.shape == (3, *size) and len(found.calls) == len(found.previews) == len(LOOKED)
    times = [call.level.time for call in found.calls]
    assert times == sorted(times, reverse=True)
    assert all(each.pixels.shape == (3, *size) for each in found.previews)
    assert found.sheet().recipe is None


def test_every_layout_and_recipe_of_other_tasks(sd_folder: Get, tmp_path: Path) -> None:
    for kind in ("sd1", "sd2"):
        found = explain("a cat", model=sd_folder(kind), size="64x64", **SMALL)
        assert found.maps.shape == (2, 16, 16) and bool(found.maps.isfinite().all())
    recipe = {"task": "paint", "arguments": {"prompt": "a dog"}}
    place = Picture(torch.rand(3, 64, 64), recipe).save(tmp_path / "p.png")
    found = explain(str(place), model=sd_folder("own"), **SMALL)
    assert found.prompt == "a dog" and not found.painted


def test_a_glow_is_brightest_where_the_map_is() -> None:
    heat = torch.zeros(9, 9)
    heat[2, 6] = 0.01
    shown = over(torch.full((3, 9, 9), 0.5), heat)
    assert shown.shape == (3, 9, 9) and shown.min() >= 0 and shown.max() <= 1
    assert divmod(int(shown.sum(0).argmax()), 9) == (2, 6)
    assert bool(over(torch.rand(3, 4, 4), torch.ones(4, 4)).isfinite().all())


def test_a_watcher_stops_it(sd_folder: Get, scene: Path) -> None:
    seen = []

    def stop(progress: Any) -> None:
        seen.append(progress.step)
        raise KeyboardInterrupt

    model = open_model(sd_folder("own")).to("cpu")
    for subject, prompt in (("a cat", None), (str(scene), "a cat")):
        with pytest.raises(KeyboardInterrupt):
            explain(subject, prompt=prompt, model=model, watch=stop, **SMALL)
    assert seen == [1, 1]
    assert not any(each._forward_pre_hooks for each in model.unet.modules())
    assert not model.unet._forward_hooks


def test_the_command_writes_the_sheet_and_the_maps(sd_folder: Get, run: Any) -> None:
    model = sd_folder("own")
    status, out, err = run(
        "explain", "a red cat", "--model", model, "--steps", 2, "-o", "why.png", "--maps", "maps",
        "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert [each["word"] for each in told["words"]] == ["a", "red", "cat"]
    assert len(told["calls"]) == 2 and math.isclose(told["calls"][0]["sigma"], 1)
    assert load("why.png").pixels.shape[2] == 1200 and load("why.png").recipe["task"] == "sheet"
    names = [file.name for file in sorted(Path("maps").iterdir())]
    assert names == ["01-a.png", "02-red.png", "03-cat.png"]
    assert (
        run("explain", "a red cat", "--model", model, "--steps", 2)[1]
        == "a-red-cat-explained.png\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "carries no recipe: say what it shows"),
        (("--prompt", ""), "prompt is empty"),
        (("--prompt", "a cat", "--steps", 0), "steps 0"),
        (("--prompt", "a cat", "--maps", "b.png"), "cannot make"),
        (("--prompt", "a cat", "-o", "b.txt"), "a name ends in"),
    ],
)
def test_bad_input_is_one_line(sd_folder: Get, run: Any, more: Any, message: str) -> None:
    Picture(torch.rand(3, 16, 16)).save("b.png")
    status, out, err = run("explain", "b.png", "--model", sd_folder("own"), *more)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


def test_words_for_words_and_broken_recipes(sd_folder: Get, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="says what a picture shows"):
        explain("a cat", prompt="a dog", model=sd_folder("own"))
    recipe = {"task": "generate", "arguments": {"prompt": "a dog"}, "model": {"name": "embedded"}}
    place = Picture(torch.rand(3, 16, 16), recipe).save(tmp_path / "p.png")
    with pytest.raises(BadInput, match="cannot be followed"):
        explain(str(place))
    made = generate("a cat", model=sd_folder("own"), **SMALL)[0]
    assert made.recipe is not None
    made.recipe["model"]["name"] = "no/where"
    with pytest.raises(BadInput, match="--model"):
        explain(str(made.save(tmp_path / "q.png")))
