"""Pictures and judges to ask, tiny: a random CLIP that sees 32 pixels, in float32 and float64."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limner import open_clip
from limner.judges._views import Camera
from limner.models.faces import open_identity

WHOLE = Camera(*[0.0] * 8)


@pytest.fixture(scope="session")
def clip(clip_folder: Path):
    return open_clip(clip_folder)


@pytest.fixture(scope="session")
def clip64(clip):
    return replace(clip, towers=copy.deepcopy(clip.towers).double())


@pytest.fixture(scope="session")
def identity(faces_folder):
    return open_identity(faces_folder("identity"))


@pytest.fixture(scope="session")
def model(clip_folder: Path):
    """transformers' own CLIPModel of the same weights."""
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(clip_folder).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def features(clip, model, clip_folder: Path):
    """features(pictures (b, 3, 32, 32) or texts) → (b, d) of length 1, by transformers."""
    from transformers import CLIPTokenizer

    words = CLIPTokenizer.from_pretrained(clip_folder)

    def get(given):
        if isinstance(given, torch.Tensor):
            mean, std = (torch.tensor(each)[:, None, None] for each in (clip.mean, clip.std))
            found = model.get_image_features(pixel_values=(given - mean) / std)
        else:
            found = model.get_text_features(**words(given, padding=True, return_tensors="pt"))
        return found.pooler_output / found.pooler_output.norm(dim=1, keepdim=True)

    return get


@pytest.fixture(scope="session")
def whole():
    """The camera that shows the whole picture as it is."""
    return WHOLE


@pytest.fixture(scope="session")
def random_pictures():
    def get(b, height, width, seed=0, dtype=torch.float32):
        drawn = np.random.default_rng(seed).random((b, 3, height, width))
        return torch.from_numpy(drawn).to(dtype)

    return get


@pytest.fixture(scope="session")
def total():
    """total(judge, pictures, noise, step) → the parts' sum (b,)."""

    def get(judge, pictures, noise, step=0):
        return torch.stack(list(judge.losses(pictures, noise, step))).sum(0)

    return get


@pytest.fixture(scope="session")
def slope():
    """slope(f, x, seed) → the derivative of f(x).sum() along a random direction: by autograd, and
    by differences."""

    def get(f, x, seed=1, h=1e-5):
        along = torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape)).to(x)
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(f(leaf).sum(), leaf)
        with torch.no_grad():
            differences = (f(x + h * along).sum() - f(x - h * along).sum()) / (2 * h)
        return float((gradient * along).sum()), float(differences)

    return get
