from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from limner.errors import BadInput
from limner.judges.palette import Palette
from limner.noise import Noise


def test_is_the_square_of_the_distance_to_the_nearest(total, random_pictures):
    pictures = random_pictures(2, 6, 5)
    colours = random_pictures(1, 7, 1, seed=3)[0, :, :, 0].T
    pixels = pictures.permute(0, 2, 3, 1).double().numpy()
    distance, _ = cKDTree(colours.double().numpy()).query(pixels)
    found = total(Palette(colours), pictures, Noise(0, [0, 1]))
    np.testing.assert_allclose(found, (distance**2).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 4)])
def test_refuses_what_is_no_list_of_colours(shape):
    with pytest.raises(BadInput, match=r"give \(k, 3\)"):
        Palette(torch.zeros(shape))
