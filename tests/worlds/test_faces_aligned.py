"""Aligned portraits: eyes level and in one place, landmarks and parts moved with the pixels."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from limner.data._open import open_data
from limner.errors import BadInput
from limner.worlds.faces import PARTS, World

PLAIN = World(seed=3, split="all").draw(range(40), annotate=True)
CUT = World(seed=3, split="all", aligned=1).draw(range(40), annotate=True)


def eyes(spots):
    return np.array([spots["left_eye"], spots["right_eye"]], float)


def middles(batch):
    return np.array([eyes(spots).mean(0) for spots in batch.landmarks])


def test_the_people_and_captions_are_the_same():
    assert CUT.faces == PLAIN.faces and CUT.captions == PLAIN.captions


def test_eyes_are_in_one_place_which_they_are_not_as_drawn():
    assert middles(CUT).std(0).max() < 3.5 < middles(PLAIN).std(0).max()
    tilt = [np.subtract(*eyes(spots)[::-1]) for spots in CUT.landmarks]
    assert max(abs(np.degrees(np.arctan2(y, x))) for x, y in tilt) < 12


def test_the_face_is_larger_and_whole():
    def share(batch):
        skin = [(parts == PARTS.index("skin")).mean() for parts in batch.maps]
        return np.array(skin)

    assert np.median(share(CUT) / share(PLAIN)) > 1.3
    for spots in CUT.landmarks:
        assert all(0 < x < 127 and 0 < y < 127 for x, y in spots.values())


def test_pixels_parts_and_landmarks_move_alike():
    """scipy's own resampling, by the map that the landmarks tell, finds the same parts."""
    names = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]
    for row in range(8):
        there = np.array([CUT.landmarks[row][name] for name in names], float)
        before = np.array([PLAIN.landmarks[row][name] for name in names], float)
        known = np.c_[there[:, ::-1], np.ones(len(names))]  # (y, x, 1)
        fit, *_ = np.linalg.lstsq(known, before[:, ::-1], rcond=None)
        assert np.abs(known @ fit - before[:, ::-1]).max() < 1
        own = affine_transform(PLAIN.maps[row], fit[:2].T, fit[2], order=0, mode="nearest")
        assert (own == CUT.maps[row]).mean() > 0.93
        picture = PLAIN.pictures[row].astype(float).mean(2)
        own = affine_transform(picture, fit[:2].T, fit[2], order=1, mode="nearest")
        assert np.abs(own - CUT.pictures[row].mean(2)).mean() < 8


def test_data_takes_the_option():
    data = open_data("world:faces?aligned=1&split=all", size=128, seed=3)
    assert np.array_equal(data.batch([4])[0][0], CUT.pictures[4])
    with pytest.raises(BadInput, match="aligned 2: give 1 or 0"):
        open_data("world:faces?aligned=2")
