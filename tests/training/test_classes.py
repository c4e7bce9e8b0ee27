import sys
from pathlib import Path

import numpy as np
import pytest

from limner.errors import BadInput
from limner.training._classes import class_names, classed, named_first
from limner.worlds.scenes import World as Scenes

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

NAMES = ["hat", "top hat", "cat", "pencil"]


@pytest.mark.parametrize(
    "caption, number",
    [
        ("A Top Hat in the snow", 1),
        ("a hat on a cat", 0),
        ("a cat in a top hat", 2),
        ("a catapult", None),
        ("cat, watercolor", 2),
        ("a pencil sketch of a cat", 2),
        ("a pencil and a cat", 3),
        ("", None),
    ],
)
def test_a_picture_is_what_its_caption_names_first(caption, number):
    assert named_first(caption, NAMES) == number


def test_the_classes_of_a_list_and_of_the_world():
    assert class_names(" Top  hat, cat") == ["top hat", "cat"]
    assert {"apple", "torus", "giraffe"} <= set(class_names(None))
    for wrong in ("cat, cat", "", "cat,,dog"):
        with pytest.raises(BadInput, match="give each once"):
            class_names(wrong)


def test_the_captions_of_the_world_name_what_is_in_its_pictures():
    drawn = Scenes(3, alone=1.0).draw(range(60))
    names = class_names(None)
    for captions, scene in zip(drawn.captions, drawn.scenes, strict=True):
        for caption in captions:
            assert names[named_first(caption, names)] == scene.things[0].noun, caption


def made(run, names=("white", "red", "cyan"), count=36, whole=False, source=None):
    run.mkdir(exist_ok=True)
    return classed(source or Bars(60, 8), run, count, names, None, all_of_them=whole)


def test_pictures_without_a_class_and_classes_without_a_picture_are_left_out(tmp_path):
    pool = made(tmp_path / "run")
    assert pool.names == ["white", "red"] and len(pool) == 18  # two of four colours
    pictures, names = pool.batch([0, 1, 17])
    wanted, captions = Bars(60, 8).batch([0, 3, 35])
    np.testing.assert_array_equal(pictures, wanted)
    assert names == [caption.split()[1] for caption in captions] == ["red", "white", "white"]
    assert made(tmp_path / "run", whole=True).names == ["white", "red", "cyan"]


def test_an_interrupted_drawing_ends_with_the_same_classes(tmp_path):
    class Breaks(Bars):
        asked = 0

        def batch(self, indices):
            self.asked += 1
            if self.asked == 3:
                raise RuntimeError
            return super().batch(indices)

    whole = made(tmp_path / "whole", count=150, source=Bars(200, 8))
    with pytest.raises(RuntimeError):
        made(tmp_path / "parts", count=150, source=Breaks(200, 8))
    parts = made(tmp_path / "parts", count=150, source=Bars(200, 8))
    every = range(len(whole))
    assert len(parts) == len(whole) and parts.batch(every)[1] == whole.batch(every)[1]


def test_classes_are_found_again_where_their_file_is_lost(tmp_path):
    whole = made(tmp_path)
    (tmp_path / "labels.npy").unlink()
    assert made(tmp_path).batch(range(18))[1] == whole.batch(range(18))[1]


def test_other_classes_and_none_are_named(tmp_path):
    made(tmp_path / "run")
    with pytest.raises(BadInput, match="holds other classes"):
        made(tmp_path / "run", names=("red", "white", "cyan"))
    with pytest.raises(BadInput, match="hardly a caption names a noun of the world scenes"):
        made(tmp_path / "none", names=("apple",))
    with pytest.raises(BadInput, match="names apple: say with --classes"):
        made(tmp_path / "asked", names=("apple",), whole=True)
