"""What the ways to edit share: layers of 8 bits, exactly laid over; sizes; names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from limner.errors import BadInput
from limner.noise import Noise
from limner.tasks._editing import Order, finished, laid_over, way, ways

PICTURE = Noise(0, [0]).uniform((3, 40, 60))
ORDER = Order(PICTURE, None, "a cat", None, 0.5, 1, 1, 0, [], None)


def test_laying_over_is_pillow_s_for_every_colour_on_every_other():
    alpha, colour = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    layer = np.stack([colour] * 3 + [alpha], -1).astype(np.uint8)
    for ground in range(256):
        below = np.full((256, 256, 3), ground, np.uint8)
        opaque = Image.fromarray(below).convert("RGBA")
        theirs = Image.alpha_composite(opaque, Image.fromarray(layer))
        assert (laid_over(layer, below) == np.asarray(theirs)[..., :3]).all(), ground


def test_a_finished_layer_has_the_picture_s_size_and_ends_at_the_mask():
    mask = torch.zeros(1, 1, 40, 60)
    mask[..., :30], mask[..., 30] = 1, 0.5
    layer = torch.full((1, 4, 20, 30), 0.8)
    found = finished(layer, replace(ORDER, mask=mask))
    assert found.shape == (40, 60, 4) and found.dtype == np.uint8
    assert (found[:, :30] == 204).all() and not found[:, 31:].any()
    assert (found[:, 30] == [204, 204, 204, 102]).all()


@pytest.mark.parametrize(
    ("near", "by", "enlarge", "size"),
    [
        (256, 1, False, (40, 60)),
        (20, 1, False, (16, 24)),
        (256, 8, False, (40, 64)),
        (64, 8, True, (56, 80)),
        (20, 8, True, (16, 24)),
    ],
)
def test_working_sizes_keep_the_shape(near, by, enlarge, size):
    small, mask = replace(ORDER, mask=torch.ones(1, 1, 40, 60)).fitted(near, by, enlarge)
    assert small.shape == (1, 3, *size) and mask.shape == (1, 1, *size)


def test_ways_are_files():
    assert ways() == ["direction", "latent", "layer", "mapper", "sdedit", "stylegan", "vqgan"]
    assert way("layer").USUAL.steps > 0
    with pytest.raises(BadInput, match="no method 'magic': choose one of direction, latent, layer"):
        way("magic")
