import sys
from pathlib import Path

import numpy as np
import pytest

from limner.training._data import Captioned, drawing, to_tensor

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars


class Numbered:
    """Picture i is full of i; asked numbers are kept."""

    size = 2

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def batch(self, indices):
        self.asked += [int(index) for index in indices]
        pictures = [np.full((2, 2, 3), index % 256, np.uint8) for index in indices]
        return np.stack(pictures), [f"picture {index}" for index in indices]


def asked(data, steps, size, rank=0, ranks=1):
    data.source.asked.clear()
    for step in steps:
        data.step(step, size, rank, ranks)
    return list(data.source.asked)


def test_every_epoch_has_each_picture_once_in_another_order():
    data = Captioned(Numbered(105), seed=4)
    assert data.kept == 5 and data.trained == 100
    epochs = np.array(asked(data, range(30), 10)).reshape(3, 100)
    for epoch in epochs:
        assert sorted(epoch) == list(range(100))
    assert not (epochs[0] == epochs[1]).all() and not (epochs[0] == range(100)).all()
    other = asked(Captioned(Numbered(105), seed=5), range(10), 10)
    assert other != epochs[0].tolist()


def test_a_step_does_not_depend_on_those_before():
    data = Captioned(Numbered(50), seed=1)
    everything = asked(data, range(12), 7)
    assert asked(Captioned(Numbered(50), seed=1), [9], 7) == everything[63:70]
    assert asked(data, [2], 7) == everything[14:21]


@pytest.mark.parametrize("ranks", [2, 4])
def test_all_processes_together_have_the_batch_of_one(ranks):
    whole = Captioned(Numbered(1000), seed=2)
    for step in (0, 3, 200):
        alone = asked(whole, [step], 12)
        parts = [asked(whole, [step], 12 // ranks, rank, ranks) for rank in range(ranks)]
        assert [index for part in parts for index in part] == alone


@pytest.mark.parametrize("count", [2, 19, 105, 100_000])
def test_what_is_kept_is_never_trained_on(count):
    data = Captioned(Numbered(count), seed=0)
    trained = set(asked(data, range(data.trained), 1)) if count < 1000 else set(range(data.trained))
    data.source.asked.clear()
    data.unseen(3 * data.kept)
    assert set(data.source.asked) == set(range(count)) - trained
    assert data.kept <= 2000 and data.kept <= max(1, count // 20)


def test_one_picture_is_enough():
    data = Captioned(Numbered(1))
    assert asked(data, [0, 1], 2) == [0, 0, 0, 0] and len(data.unseen(2)[1]) == 2


def test_a_world_is_taken_in_its_own_order_from_another_place_for_another_seed():
    class World(Numbered):
        def __len__(self):
            return 1 << 40

    data = Captioned(World(0), seed=0)
    assert asked(data, [0, 5], 4) == [0, 1, 2, 3, 20, 21, 22, 23]
    other = asked(Captioned(World(0), seed=2**32 - 1), [0], 3)
    assert other == list(range(other[0], other[0] + 3)) and 1 << 24 <= other[0] < data.trained
    data.source.asked.clear()
    data.unseen(2)
    assert data.source.asked == [(1 << 40) - 1, (1 << 40) - 2]


def test_captions_are_those_that_are_trained_on():
    data = Captioned(Numbered(150))
    assert list(data.captions(1000)) == [f"picture {i}" for i in range(data.trained)]
    assert list(data.captions(3)) == ["picture 0", "picture 1", "picture 2"]


def test_randomness_is_a_function_of_seed_step_rank_and_purpose():
    def drawn(*key):
        return tuple(drawing(*key).random(4))

    keys = [(s, t, r, p) for s in (0, 1) for t in (0, 1) for r in (0, 1) for p in ("crop", "order")]
    assert len({drawn(*key) for key in keys}) == len(keys)
    assert drawn(1, 2, 3, "crop") == drawn(1, 2, 3, "crop")
    long = np.concatenate([drawing(7, step, 0, "crop").random(1000) for step in range(20)])
    assert abs(long.mean() - 0.5) < 0.01 and abs(np.corrcoef(long[:-1], long[1:])[0, 1]) < 0.03


def test_pictures_become_tensors():
    pictures, captions = Bars().batch([0, 5])
    tensor = to_tensor(pictures)
    assert tensor.shape == (2, 3, 32, 32) and captions[1] == "a green bar at the middle"
    assert (tensor[1, :, 15, 20].numpy() == pictures[1, 15, 20]).all()


class Groups:
    """Numbers as pictures, in groups of three."""

    size, together = 1, 3

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def batch(self, indices):
        return np.array(indices).reshape(-1, 1, 1, 1), [str(i) for i in indices]


@pytest.mark.parametrize("count", [2, 60, 100])
def test_what_belongs_together_is_learned_from_together(count):
    data = Captioned(Groups(count), 5)
    seen = data.step(0, data.trained, 0, 1)[0].ravel()
    assert sorted(seen) == list(range(data.trained))
    if data.trained >= 3:
        assert data.trained % 3 == 0
        assert all(b == a + 1 == c - 1 and a % 3 == 0 for a, b, c in seen.reshape(-1, 3))
        assert list(seen) != sorted(seen)
