"""map: numbers and colours read and refused, what is shown, recipes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import limner
from limner import BadInput, replay
from limner.tasks._legend import (
    classes_of,
    legend_of,
    map_regions,
    said_of,
    usual_legend,
)
from limner.worlds._vocabulary import BACKGROUNDS
from limner.worlds.scenes import World

sys.path.insert(0, str(Path(__file__).parent))
from _random_adapter import random_adapter

Get = Callable[[str], Path]
CLASSES = np.zeros((32, 64), np.uint8)
CLASSES[:16, :32], CLASSES[20:, 10:50] = 3, 7
LEGEND = "3: a cat; 7: the horse"


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(classes: np.ndarray, mode: str = "L") -> Path:
        image = Image.fromarray(classes, "L" if mode != "RGB" else None)
        if mode == "P":
            image = Image.fromarray(classes, "L")
            image.putpalette([value for i in range(256) for value in (i * 37 % 256, 9, 255 - i)])
        place = tmp_path / "map.png"
        image.save(place)
        return place

    return save


def test_grey_and_palette_numbers_are_the_same(saved: Any) -> None:
    legend = legend_of(LEGEND)
    for mode in ("L", "P"):
        assert np.array_equal(classes_of(saved(CLASSES, mode), legend), CLASSES)


def test_colours(saved: Any) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :3], pixels[2:] = (255, 0, 0), (1, 2, 254)
    legend = legend_of("#ff0000: a cat; #0102FE: grass")
    regions = map_regions(classes_of(saved(pixels, "RGB"), legend), legend, (2, 2))
    covers = {each.phrase: each.cover.tolist() for each in regions}
    assert covers == {"a cat": [[1, 0], [0, 0]], "grass": [[0, 0], [1, 1]]}
    assert all(each.exact for each in regions)


def test_a_cell_is_covered_by_its_share(saved: Any) -> None:
    legend = legend_of(LEGEND)
    (cat, horse) = map_regions(classes_of(saved(CLASSES), legend), legend, (8, 16))
    for region, number in ((cat, 3), (horse, 7)):
        wanted = (number == CLASSES).reshape(8, 4, 16, 4).mean((1, 3))
        assert np.abs(region.cover.numpy() - wanted).max() < 0.003
        assert (region.phrase, region.exact) == (legend[number], True)


def test_the_usual_legend_is_the_world_s() -> None:
    legend, world = usual_legend(), World(0)
    if world.shapes_only:
        pytest.skip("no emoji font: the world has other numbers")
    assert [legend[i + 1].split(" ", 1)[1] for i in range(len(world.nouns))] == list(world.nouns)
    for number, (said, _) in enumerate(BACKGROUNDS.values(), 100):
        assert legend.get(number, "") == said
    drawn = world.draw([0, 1, 2], annotate=True)
    assert all(set(np.unique(each)) <= {0, *legend} for each in drawn.maps)


def test_a_map_in_words() -> None:
    legend = usual_legend()
    classes = np.array([[1, 2], [101, 0]])
    assert said_of(classes, legend) == "an astronaut and a horse on the grass"
    assert said_of(np.array([[4, 5, 7]]), legend) == "a banana, a hedgehog and a cactus"
    assert said_of(np.array([[103, 0]]), legend) == "at night"


@pytest.mark.parametrize(
    ("legend", "why"),
    [
        ("a cat", "give a number"),
        ("1: ", "give a number"),
        ("300: a cat", "give a number"),
        ("#ff00: a cat", "give a number"),
        ("1: a cat; 1: a dog", "names 1 twice"),
        (" ; ", "legend is empty"),
        ("1: a cat; #ff0000: a dog", "either"),
        ("3: a cat; 5: a dog", r"has the numbers 7, .*it knows 3 \(a cat\), 5 \(a dog\)"),
        ("#ff0000: a cat", "has the colours #030303, #070707"),
        ("8: a cat", "has the numbers 3, 7"),
    ],
)
def test_what_is_refused(sd_folder: Get, saved: Any, legend: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        limner.map(saved(CLASSES), legend=legend, model=str(sd_folder("own")))


def test_maps_that_are_refused(saved: Any) -> None:
    legend = legend_of(LEGEND)
    with pytest.raises(BadInput, match="names nothing"):
        classes_of(saved(0 * CLASSES), legend)
    with pytest.raises(BadInput, match="has colours, and the legend numbers"):
        classes_of(saved(np.dstack([CLASSES, CLASSES, 0 * CLASSES]), "RGB"), legend)
    with pytest.raises(BadInput, match="cannot read the picture"):
        classes_of("nowhere.png", legend)
    gradient = np.arange(32 * 64).reshape(32, 64) % 256
    with pytest.raises(BadInput, match=r"\(.* in all\).*without soft edges"):
        classes_of(saved(gradient.astype(np.uint8)), legend)


def test_it_paints_and_comes_again(sd_folder: Get, saved: Any, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", sd_folder("own"), "regions")
    options: dict[str, Any] = dict(steps=2, precision="float32", model=str(sd_folder("own")))
    place = saved(CLASSES)
    made = {}
    for name in (str(adapter), "none"):
        (picture,) = limner.map(place, legend=LEGEND, adapter=name, **options)
        assert picture.pixels.shape == (3, 32, 64)  # the map's proportions at the model's size
        assert picture.recipe is not None
        assert picture.recipe["arguments"]["prompt"] == "a cat and the horse"
        again = replay(picture.save(tmp_path / "out.png"))
        assert again.identical and not again.notes
        made[name] = picture.pixels
    assert len({tuple(each.flatten().tolist()) for each in made.values()}) == 2
    (worded,) = limner.map(place, "a red cube", legend=LEGEND, adapter=str(adapter), **options)
    assert not torch.equal(worded.pixels, made[str(adapter)])
    saved(CLASSES.T.copy())
    with pytest.raises(BadInput, match="not the one it was made from"):
        replay(tmp_path / "out.png")


def test_the_command(run: Any, sd_folder: Get, saved: Any) -> None:
    place, model = str(saved(CLASSES)), ["--model", str(sd_folder("own")), "--steps", "2"]
    status, out, _ = run("map", place, "--legend", LEGEND, *model, "-o", "o.png")
    assert (status, out.strip()) == (0, "o.png")
    status, out, _ = run("map", place, "a cat", "--legend", LEGEND, *model, "--json")
    assert status == 0 and "a-cat.png" in out
    status, _, errors = run("map", place, *model, "--legend", "3: a cat")
    assert status == 2 and len(errors.strip().splitlines()) == 1
