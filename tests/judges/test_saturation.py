from __future__ import annotations

import numpy as np

from limner.judges.saturation import Saturation
from limner.noise import Noise

NOISE = Noise(0, [0, 1])


def test_is_hasler_and_susstrunk_s_in_numpy(total, random_pictures):
    pictures = random_pictures(2, 6, 5)
    red, green, blue = pictures.double().numpy().transpose(1, 0, 2, 3)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = np.hypot(rg.std((1, 2)), yb.std((1, 2)))
    middle = np.hypot(rg.mean((1, 2)), yb.mean((1, 2)))
    wanted = -(spread + 0.3 * middle)
    np.testing.assert_allclose(total(Saturation(), pictures, NOISE), wanted, rtol=1e-4)


def test_a_grey_picture_has_a_finite_gradient(total, random_pictures):
    grey = random_pictures(2, 4, 4)[:, :1].repeat(1, 3, 1, 1).requires_grad_()
    loss = total(Saturation(), grey, NOISE)
    loss.sum().backward()
    assert float(loss.detach().abs().max()) < 1e-3 and bool(grey.grad.isfinite().all())
