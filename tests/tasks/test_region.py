"""The region: a Gaussian against numpy's, the filter at an edge, and what they make of a guess."""

from __future__ import annotations

import numpy as np
import torch

from limner import open_clip
from limner.noise import Noise
from limner.tasks import _region
from limner.tasks._region import region


def disc(height, width):
    """A disc of two colours before a ground whose colour changes slowly; and the disc."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (x - 40) ** 2 + (y - 30) ** 2 < 18**2
    ground = torch.stack([0.2 + x / 400, 0.5 + y / 400, torch.full_like(x / 1, 0.8)])
    colour = torch.where(y[None] < 30, torch.tensor([0.9, 0.2, 0.1])[:, None, None], 0.1)
    grain = 0.02 * Noise(0, [0]).normal((3, height, width))[0]
    return (torch.where(inside, colour, ground) + grain).clamp(0, 1), inside


def test_a_rough_guess_is_brought_to_the_edges():
    picture, inside = disc(64, 96)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    guess = (-((x - 37) ** 2 + (y - 33) ** 2) / 300).exp()  # too small, and beside it
    found = _region._cut_out(picture, guess) > 0.5
    assert float((found & inside).sum() / (found | inside).sum()) > 0.95
    before = guess > 0.5
    assert float((before & inside).sum() / (before | inside).sum()) < 0.7


def test_a_gaussian_s_density_is_numpy_s():
    x = Noise(0, [0]).normal((200, 2))[0]
    counts = Noise(1, [0]).uniform((200, 1))[0]
    found = _region._log_parts(x, counts)[:, 0]
    w = counts[:, 0].double().numpy()
    spread = np.cov(x.double().numpy().T, aweights=w, ddof=0) + 1e-3 * np.eye(2)
    apart = x.double().numpy() - np.average(x.double().numpy(), axis=0, weights=w)
    square = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(spread), apart)
    wanted = -np.log(np.linalg.det(spread)) / 2 - square / 2
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_the_filter_smooths_where_the_picture_is_flat_and_keeps_its_edges():
    picture = torch.zeros(3, 20, 30)
    picture[:, :, 15:] = 1
    values = picture[0] + 0.3 * Noise(0, [0]).normal((20, 30))[0]
    found = _region._guided(picture, values)
    apart = found - picture[0]
    assert float(apart.std()) < 0.1 < float((values - picture[0]).std())
    assert float((found[:, 15] - found[:, 14]).mean()) > 0.9


def test_a_long_picture_is_seen_whole(clip_folder):
    clip, picture = open_clip(clip_folder), Noise(2, [0]).uniform((3, 24, 70))
    share = _region._relevancy(clip, picture, clip.embed_texts(["a cat"])[0])
    assert share.shape == (24, 70) and float(share.min()) >= 0
    assert float(share[:, :8].sum()) > 0 and float(share[:, -8:].sum()) > 0
    found = region(clip, picture, "a cat")
    assert found.shape == (1, 1, 24, 70) and bool(((found >= 0) & (found <= 1)).all())
