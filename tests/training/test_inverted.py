"""Pictures inverted once for a training: the projector's, kept, gone on with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from limner.data._open import open_data
from limner.generators.stylegan import stylegan
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.training import _inverted
from limner.training._inverted import inverted

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StyleGAN:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(_inverted, "_AT_ONCE", 2)
    return open_stylegan(stylegan_folder(tmp_path / "model", (6, 5, 4)))


def test_they_are_the_projector_s_and_kept(model: StyleGAN, tmp_path: Path) -> None:
    faces, told = open_data("world:faces?aligned=1", size=16), []
    found = inverted(model, faces, 3, steps=4, watch=lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]
    pictures = torch.from_numpy(faces.batch([2])[0]).permute(0, 3, 1, 2) / 255
    alone = stylegan(model).invert(pictures, steps=4)["w+"]
    assert torch.allclose(found[2:], alone, atol=1e-5)
    more = inverted(model, faces, 4, steps=4, watch=lambda done, total: told.append((done, total)))
    assert told[2:] == [(4, 4)]  # the first three were there
    assert torch.equal(more[:3], found)
    assert not torch.allclose(inverted(model, faces, 1, steps=5), found[:1])  # others than these


def test_a_broken_file_is_made_again(model: StyleGAN, tmp_path: Path) -> None:
    faces = open_data("world:faces?aligned=1", size=16)
    found = inverted(model, faces, 2, steps=3)
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:40])
    assert torch.equal(inverted(model, faces, 2, steps=3), found)
