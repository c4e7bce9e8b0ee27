import sys
from pathlib import Path

import numpy as np
import pytest

from limner.training._pool import Pool, draw

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars


class Counting(Bars):
    asked = 0

    def batch(self, indices):
        self.asked += len(indices)
        return super().batch(indices)


def test_the_pool_holds_the_source_s_pictures(tmp_path):
    assert list(draw(Bars(), tmp_path / "p", 40, chunk=16)) == [16, 32, 40]
    pool = Pool(tmp_path / "p")
    assert len(pool) == 40 and pool.size == 32
    pictures, captions = pool.batch([39, 0, 7])
    own, told = Bars().batch([39, 0, 7])
    assert np.array_equal(pictures, own) and captions == told and any(told)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_what_was_interrupted_goes_on_after_its_last_chunk(tmp_path, done):
    steps = draw(Bars(), tmp_path / "p", 40, chunk=16)
    for _ in range(done):
        next(steps)
    steps.close()
    source = Counting()
    assert list(draw(source, tmp_path / "p", 40, chunk=16)) == [16, 32, 40][done:]
    assert source.asked == 40 - 16 * done + 4
    pool, (pictures, captions) = Pool(tmp_path / "p"), Bars().batch(range(40))
    assert np.array_equal(pool.values, pictures) and pool.captions == captions


def test_what_is_whole_is_not_drawn_again_and_what_is_another_s_is(tmp_path):
    list(draw(Bars(), tmp_path / "p", 20))
    source = Counting()
    assert list(draw(source, tmp_path / "p", 20)) == [20] and source.asked == 4
    list(draw(Bars(size=16), tmp_path / "p", 20))
    assert Pool(tmp_path / "p").size == 16
    list(draw(Bars(size=16), tmp_path / "p", 24))
    assert len(Pool(tmp_path / "p")) == 24
