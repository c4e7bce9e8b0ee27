from __future__ import annotations

import numpy as np
import pytest

from limner.errors import BadInput
from limner.judges.symmetry import Symmetry
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


@pytest.mark.parametrize("axis, mirror", [("horizontal", np.fliplr), ("vertical", np.flipud)])
def test_is_the_mean_square_to_numpy_s_mirror_image(axis, mirror, total, random_pictures):
    pictures = random_pictures(2, 6, 5)
    found = total(Symmetry(axis), pictures, NOISE)
    for loss, picture in zip(found, pictures.permute(0, 2, 3, 1).double().numpy()):
        assert float(loss) == pytest.approx(((picture - mirror(picture)) ** 2).mean(), rel=1e-5)


def test_refuses_other_axes():
    with pytest.raises(BadInput, match="symmetry 'both'"):
        Symmetry("both")
