from types import SimpleNamespace

import numpy as np
import pytest

from limner.data.world import world


class Tiny:
    """Picture i is grey i, and it has as many phrasings as its index has digits."""

    def draw(self, indices, *, annotate=False):
        pictures = np.stack([np.full((6, 6, 3), i % 256, np.uint8) for i in indices])
        captions = [[f"{i} said in way {way}" for way in range(len(str(i)))] for i in indices]
        return SimpleNamespace(pictures=pictures, captions=captions)


def test_item_i_is_picture_i_with_one_of_its_captions():
    data = world(Tiny(), 6)
    pictures, captions = data.batch([5, 123, 9])
    assert data.size == 6 and len(data) > 10**12
    assert pictures[:, 0, 0, 0].tolist() == [5, 123, 9]
    assert captions[0] == "5 said in way 0" and captions[1].startswith("123 said in way")


def test_the_same_item_is_the_same_in_any_batch_and_every_phrasing_occurs():
    data = world(Tiny(), 3)
    pictures, captions = data.batch(range(100, 200))
    again, alone = data.batch([150])
    assert pictures.shape == (100, 3, 3, 3)
    assert np.array_equal(again[0], pictures[50]) and alone == [captions[50]]
    ways = [caption[-1] for caption in captions]
    assert {way: ways.count(way) > 20 for way in "012"} == {"0": True, "1": True, "2": True}


def test_the_last_item_can_be_asked_for_and_none_beyond():
    data = world(Tiny(), 6)
    data.batch([len(data) - 1])
    with pytest.raises(IndexError):
        data.batch([len(data)])
