from __future__ import annotations

import numpy as np
import pytest

from limner.errors import BadInput
from limner.judges.smooth import Smooth
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


@pytest.mark.parametrize("power", [1, 2])
def test_is_numpy_s(power, total, random_pictures):
    pictures = random_pictures(2, 7, 5)
    x = pictures.double().numpy()
    across = (np.abs(np.diff(x, axis=3)) ** power).sum((1, 2, 3))
    down = (np.abs(np.diff(x, axis=2)) ** power).sum((1, 2, 3))
    np.testing.assert_allclose(
        total(Smooth(power), pictures, NOISE), (across + down) / (3 * 7 * 5), rtol=1e-5
    )


def test_a_flat_picture_and_a_single_pixel_are_smooth(total, random_pictures):
    assert float(total(Smooth(), random_pictures(2, 1, 1), NOISE).max()) == 0
    assert float(total(Smooth(), random_pictures(2, 1, 1).expand(2, 3, 4, 4), NOISE).max()) == 0


def test_refuses_other_powers():
    with pytest.raises(BadInput, match="power 3"):
        Smooth(3)
