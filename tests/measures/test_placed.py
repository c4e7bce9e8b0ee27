"""layout, map, inpaint: right where the true pictures are judged, wrong where things were moved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.measures import inpaint as of_holes
from limner.measures import layout as of_boxes
from limner.measures import map as of_maps
from limner.measures._eye import Eye
from limner.measures._things import Asked, asked, pixels_of
from limner.picture import Picture
from limner.tasks._legend import classes_of, legend_of
from limner.tasks._regions import boxes_of
from limner.worlds._scattered import named
from limner.worlds.scenes import World

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _random_adapter import random_adapter

pytestmark = pytest.mark.skipif(World(0).shapes_only, reason="no Noto Color Emoji font")
Get = Callable[[str], Path]
SCENES = 8


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye()


@pytest.fixture(scope="module")
def scenes() -> list[Asked]:
    return asked(SCENES)


def true(each: Asked) -> Picture:
    return Picture(pixels_of(each.scene))


def mirrored(each: Asked) -> Asked:
    """What is asked for, on the other side."""
    boxes = each.scene.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [128, 0, 128, 0]
    return Asked(each.name, replace(each.scene, boxes=boxes, masks=each.scene.masks[..., ::-1]))


def test_overlap_is_intersection_over_union() -> None:
    assert of_boxes.overlap((0, 0, 1, 1), (0.5, 0, 1.5, 1)) == pytest.approx(1 / 3)
    assert of_boxes.overlap((0, 0, 1, 1), (0, 0, 1, 1)) == 1
    assert of_boxes.overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_true_pictures_hold_what_is_asked_for_and_mirrored_ones_do_not(
    eye: Eye, scenes: list[Asked]
) -> None:
    held = [hold for each in scenes for hold in of_boxes._held(eye, each, true(each)).held]
    assert np.mean(held) > 0.85
    turned = []
    for each in scenes:
        other = mirrored(each)
        moved = [of_boxes.overlap(a, b) < 0.3 for a, b in zip(each.boxes, other.boxes)]
        there = of_boxes._held(eye, other, true(each)).held
        turned += [hold for hold, away in zip(there, moved, strict=True) if away]
    assert len(turned) > 5 and not any(turned)


def test_pixels_of_true_pictures_are_as_the_map_says(eye: Eye, scenes: list[Asked]) -> None:
    found = [of_maps._agreement(eye, each, true(each)) for each in scenes]
    assert np.mean([each.all for each in found]) > 0.9
    assert np.mean([each.things for each in found]) > 0.75
    empty = Picture(torch.full((3, 128, 128), 0.5))
    assert max(of_maps._agreement(eye, each, empty).things for each in scenes) == 0
    turned = [of_maps._agreement(eye, mirrored(each), true(each)).things for each in scenes]
    assert np.mean(turned) < 0.5


def test_what_is_asked_of_the_tasks_is_the_scene(scenes: list[Asked], tmp_path: Path) -> None:
    for each in scenes:
        boxes = dict(boxes_of(of_boxes.boxes_text(each)))
        for thing, box in zip(each.scene.things, each.boxes, strict=True):
            assert np.allclose(boxes[named(thing)], box, atol=1e-3)
        legend = legend_of(of_maps.legend(each))
        Image.fromarray(of_maps.classes(each)).save(tmp_path / "map.png")
        classes = classes_of(tmp_path / "map.png", legend)
        for number, (thing, mask) in enumerate(zip(each.scene.things, each.scene.masks), 1):
            assert legend[number] == named(thing) and np.array_equal(classes == number, mask)


def test_a_thing_counts_where_it_is_in_the_hole(eye: Eye) -> None:
    holes = list(of_holes._holes(8))
    assert len({each.name for each in holes}) == 8
    everywhere, nowhere = np.ones((128, 128), bool), np.zeros((128, 128), bool)
    nowhere[:8, :8] = True
    present = []
    for i, each in enumerate(holes):
        assert each.thing in each.scene.things and each.mask.any() and not each.mask.all()
        pixels = of_holes._true(eye, each, i)
        present.append(of_holes._filled(eye, each, pixels, everywhere).present)
        assert not of_holes._filled(eye, each, pixels, nowhere).present
        old = torch.from_numpy(each.picture.copy()).permute(2, 0, 1) / 255
        assert not of_holes._filled(eye, each, old, everywhere).present
    assert np.mean(present) > 0.8


def test_the_commands(run: Any, sd_folder: Get, tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", sd_folder("own"), "regions")
    own = ["--model", str(sd_folder("own")), "--count", "2", "--json"]
    for command, said in {
        "layout": ["--adapter", str(adapter)],
        "map": ["--method", "composed"],
        "inpaint": ["--resample", "1"],
    }.items():
        status, out, _ = run("measure", command, *own, *said, "-o", command)
        told = json.loads(out)
        assert status == 0 and "own" in told["model"] + str(sd_folder("own"))
        assert len(list(Path(command).glob("*.png"))) == 2
        before = {file: file.stat().st_mtime_ns for file in Path(command).glob("*.png")}
        assert json.loads(run("measure", command, *own, *said, "-o", command)[1]) == told
        assert before == {file: file.stat().st_mtime_ns for file in Path(command).glob("*.png")}
    assert run("measure", "layout", *own, "--method", "regions")[0] == 2
