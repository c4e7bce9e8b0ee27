"""layer: what is searched is a cutting about the thing, and the rest of the picture stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from limner import Picture, edit, replay
from limner.errors import BadInput
from limner.models import embedded
from limner.noise import Noise
from limner.picture import load
from limner.tasks import _edit_layer as layer
from limner.tasks import _editing
from limner.tasks._window import around


def region(height: int, width: int, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    where = torch.zeros(1, 1, height, width)
    where[:, :, top:bottom, left:right] = 0.9
    return where


@pytest.mark.parametrize(
    "where, box",
    [
        # 30 of 100 wide: 50 about its middle (55, 40)
        (region(100, 100, 45, 65, 25, 55), (0.3, 0.8, 0.15, 0.65)),
        # in a corner: pushed back into the picture
        (region(100, 100, 0, 30, 80, 100), (0, 0.5, 0.5, 1)),
        # so large that its square is larger than the picture is high
        (region(50, 100, 0, 45, 10, 40), (0, 1, 0, 0.75)),
        # a single pixel: a quarter of the smaller side
        (region(80, 160, 40, 41, 80, 81), (0.38125, 0.63125, 0.440625, 0.565625)),
        (region(64, 64, 0, 0, 0, 0), (0, 1, 0, 1)),
    ],
)
def test_the_box_about_a_region(where: torch.Tensor, box: tuple[float, ...]) -> None:
    assert around(where) == pytest.approx(box)


def test_the_first_region_that_is_anywhere_counts() -> None:
    nowhere, mask = region(100, 100, 0, 0, 0, 0), region(100, 100, 45, 65, 25, 55)
    assert around(nowhere, mask) == around(mask) != around(nowhere)


def test_what_is_cut_comes_back_in_its_place() -> None:
    picture = Noise(0, [0]).uniform((3, 40, 60))
    box = around(region(40, 60, 8, 20, 10, 22))
    cut = layer._cut(picture, box)
    assert cut.shape == (1, 3, 20, 20)
    full = layer._back(torch.cat([cut, torch.ones(1, 1, 20, 20)], 1), picture, box)
    inside = full[:, 3:] == 1
    assert full.shape == (1, 4, 40, 60) and int(inside.sum()) == 400
    assert bool(torch.where(inside, full[:, :3] == picture, full[:, :3] == 0).all())


def test_only_the_cutting_is_searched_and_enlarged(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = region(60, 80, 10, 22, 20, 32)
    monkeypatch.setattr(layer, "region", lambda clip, picture, phrase: where)
    searched = []
    network = layer.PriorNetwork
    monkeypatch.setattr(
        layer, "PriorNetwork", lambda *given: searched.append(given[0]) or network(*given)
    )  # fmt: skip
    cat = Picture(Noise(3, [0]).uniform((3, 60, 80))[0]).save(tmp_path / "cat.png")
    found = edit(cat, "a red cat", clip=str(clip_folder), steps=2, views=1)
    changed = (found.picture.uint8() != load(cat).uint8()).any(2)
    assert searched == [(128, 128)] and changed[6:26, 16:36].any()
    changed[6:26, 16:36] = False
    assert not changed.any() and not np.delete(found.layer[..., 3], range(6, 26), 0).any()


@pytest.mark.skipif(not {"second", "embedded"} <= set(embedded.here()), reason="needs the weights")
def test_a_resnet_is_followed_and_the_measuring_clip_says_where(tmp_path: Path) -> None:
    cat = Picture(Noise(0, [0]).uniform((3, 48, 48))[0]).save(tmp_path / "cat.png")
    found = edit(cat, "a red cat", clip="second", steps=1, views=1)
    recipe = found.picture.recipe
    assert recipe is not None and recipe["arguments"]["clip"] == ["second"]
    assert [each["name"] for each in recipe["clips"]] == ["second", "embedded"]
    assert replay(found.picture.save(tmp_path / "out.png")).identical


def test_without_any_vit_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ResNet:
        class towers:
            pictures = None

    monkeypatch.setattr(_editing, "open_clip", lambda name: ResNet())
    order = _editing.Order(torch.zeros(1, 3, 8, 8), None, "a", None, 0.5, 1, 1, 0, [ResNet()], None)  # type: ignore[list-item]
    with pytest.raises(BadInput, match="none of the CLIPs is a ViT"):
        _ = order.patched
