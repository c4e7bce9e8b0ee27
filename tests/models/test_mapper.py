"""A mapper's folder: what it keeps, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from limner.errors import BadInput
from limner.models.mapper import open_mapper, write
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.nets.mapper import Mapper
from limner.noise import Noise

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder


@pytest.fixture
def generator(tmp_path: Path) -> StyleGAN:
    return open_stylegan(stylegan_folder(tmp_path / "generator", (6, 5, 4)))


@pytest.fixture
def folder(tmp_path: Path, generator: StyleGAN) -> Path:
    torch.manual_seed(0)
    write(tmp_path / "mapper", Mapper(6, 8), "a smiling face", generator)
    return tmp_path / "mapper"


def said(folder: Path, **changed: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))


def test_what_is_saved_opens(folder: Path, generator: StyleGAN) -> None:
    found = open_mapper(folder)
    torch.manual_seed(0)
    w_plus = Noise(0, range(2)).normal((6, 8))
    wanted = Mapper(6, 8)(w_plus).detach() * generator.w_std
    torch.testing.assert_close(found.change(w_plus), wanted)
    assert found.text == "a smiling face"
    assert found.generator.fingerprint == generator.fingerprint
    assert not any(weight.requires_grad for weight in found.network.parameters())


def test_its_fingerprint_is_the_generator_s_too(folder: Path, tmp_path: Path) -> None:
    before = open_mapper(folder).fingerprint
    place = stylegan_folder(tmp_path / "other" / "generator", (6, 5, 3))
    other = open_stylegan(place)
    said(folder, generator={"name": str(place), "fingerprint": other.fingerprint})
    assert open_mapper(folder).fingerprint != before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model_type": "stylegan2"}, "is a 'stylegan2': expected stylegan_mapper"),
        ({"text": None}, "says no text"),
        ({"mapper": {"layers": 10, "width": 8}}, "are not those of its config"),
        ({"generator": {"name": "nowhere"}}, "for a generator at 'nowhere', where there is none"),
        ({"generator": {"name": "some/model"}}, "say in its config.json where it is now"),
        ({"generator": None}, "for a generator at None"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, changed: dict[str, object], reason: str) -> None:
    said(folder, **changed)
    with pytest.raises(BadInput, match=reason) as raised:
        open_mapper(folder)
    assert "\n" not in str(raised.value)


def test_another_generator_in_its_place_is_told(folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(tmp_path / "generator")
    stylegan_folder(tmp_path / "generator", (6, 5, 3))
    with pytest.raises(BadInput, match="was made for another generator than"):
        open_mapper(folder)


def test_a_mapper_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="no mapper is named: give its folder"):
        open_mapper("embedded")
