"""Rows kept on disk: an interrupted call goes on, what is of something else is made again."""

import numpy as np
import pytest

from limner.training._cached import Cached, fill


def maker(asked, fails_at=None):
    def make(rows):
        if fails_at is not None and rows.start >= fails_at:
            raise KeyboardInterrupt
        asked.append(rows)
        numbers = np.array(rows)
        return {"square": numbers**2, "wide": numbers[:, None] + np.zeros(3, np.float16)}, [
            {"row": row} for row in rows
        ]

    return make


def whole(folder):
    kept = Cached(folder)
    assert [each["row"] for each in kept.told] == list(range(10)) and len(kept) == 10
    assert kept.arrays["square"].tolist() == [row**2 for row in range(10)]
    assert kept.arrays["wide"][7].tolist() == [7, 7, 7]
    return True


def test_it_goes_on_where_it_was(tmp_path):
    asked = []
    with pytest.raises(KeyboardInterrupt):
        list(fill(tmp_path, {"of": 1}, 10, maker(asked, fails_at=6), chunk=3))
    with (tmp_path / "told.jsonl").open("a") as file:  # of a chunk that was not finished
        file.write('{"row": 99}\n')
    done = list(fill(tmp_path, {"of": 1}, 10, maker(asked), chunk=3))
    assert done == [9, 10] and asked == [range(3), range(3, 6), range(6, 9), range(9, 10)]
    assert whole(tmp_path)
    assert list(fill(tmp_path, {"of": 1}, 10, maker(asked), chunk=3)) == [10] and len(asked) == 4


def test_of_something_else_it_is_made_again(tmp_path):
    list(fill(tmp_path, {"of": 1}, 7, maker([]), chunk=3))
    asked = []
    list(fill(tmp_path, {"of": 2}, 10, maker(asked), chunk=10))
    assert asked == [range(10)] and whole(tmp_path)


def test_killed_between_the_last_chunk_and_the_end(tmp_path):
    steps = fill(tmp_path, {"of": 1}, 10, maker([]), chunk=5)
    assert [next(steps), next(steps)] == [5, 10]
    steps.close()  # before the drafts were renamed
    assert list(tmp_path.glob("*.partial"))
    assert list(fill(tmp_path, {"of": 1}, 10, maker([]), chunk=5)) == [10]
    assert whole(tmp_path)
