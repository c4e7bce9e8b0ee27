"""Scattered things: what is told of them is what is drawn, and they are everywhere."""

import numpy as np
import pytest

from limner.errors import BadInput
from limner.worlds._captions import Scene, held_out
from limner.worlds._scattered import named, placed, scattered
from limner.worlds._vocabulary import BACKGROUNDS
from limner.worlds.scenes import World

WORLD = World(3)


def test_a_picture_is_a_function_of_seed_and_number():
    again = placed(WORLD, [5, 4, 7])
    for index, one in zip((5, 4, 7), again, strict=True):
        (alone,) = placed(World(3), [index])
        assert np.array_equal(one.picture, alone.picture) and one.caption == alone.caption
    assert not np.array_equal(again[0].picture, placed(World(4), [5])[0].picture)


def test_boxes_and_masks_are_where_the_things_are():
    for index in range(1, 40, 2):
        drawn = scattered(WORLD, index)
        assert len(drawn.things) == len(set(drawn.things)) == len(drawn.boxes) == len(drawn.masks)
        assert (drawn.masks.sum(0) <= 1).all()
        for (x0, y0, x1, y1), mask in zip(drawn.boxes, drawn.masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert (x0, y0, x1, y1) == (
                columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
            )  # fmt: skip
        # the same without things is the same outside of them
        outside = ~drawn.masks.any(0)
        background = drawn.picture[outside].astype(int)
        assert background.std(0).max() < 95
        for thing in drawn.things:
            assert named(thing) in drawn.caption
        assert BACKGROUNDS[drawn.background][0] in drawn.caption


def test_things_are_everywhere_and_of_any_number():
    drawn = [scattered(WORLD, index) for index in range(1, 241, 2)]
    centres = np.concatenate([(each.boxes[:, :2] + each.boxes[:, 2:]) / 256 for each in drawn])
    counts, _, _ = np.histogram2d(*centres.T, bins=3, range=[[0, 1], [0, 1]])
    assert counts.min() >= 0.03 * counts.sum()
    assert {len(each.things) for each in drawn} == {1, 2, 3, 4}
    widths = np.concatenate([each.boxes[:, 2] - each.boxes[:, 0] for each in drawn]) / 128
    assert widths.min() < 0.25 and widths.max() > 0.6


def test_what_is_held_out_stays_so():
    for split in ("train", "held_out"):
        for index in range(1, 60, 2):
            drawn = scattered(World(1, split=split), index)
            relation = "and" if len(drawn.things) > 1 else None
            content = Scene(drawn.things, relation, 1, drawn.background)
            assert held_out(content) == (split == "held_out")


def test_they_are_of_one_scale():
    with pytest.raises(BadInput, match="leave scale=2 away"):
        placed(World(3, scale=2), [0])
