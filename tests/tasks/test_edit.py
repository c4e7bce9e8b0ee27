"""edit: every method with tiny models; masks, layers, recipes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner import BadInput, Picture, edit, replay
from limner.cli import main
from limner.noise import Noise
from limner.picture import load

SMALL = {
    "layer": dict(steps=3, views=2),
    "latent": dict(steps=3, views=2),
    "sdedit": dict(steps=3),
    "vqgan": dict(steps=3, views=2),
}
METHODS = list(SMALL)
every = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 48, 64))[0]).save(tmp_path / "cat.png")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    grey = torch.zeros(3, 48, 64)
    grey[:, 8:40, 8:30], grey[:, 8:40, 30] = 1, 0.4
    return Picture(grey).save(tmp_path / "mask.png")


@pytest.fixture
def edited(sd_folder: Any, vqgan_folder: Path, clip_folder: Path, cat: Path) -> Any:
    def run(method: str = "layer", **options: Any) -> Any:
        if method != "sdedit":
            options = dict(clip=str(clip_folder)) | options
        if method != "layer":
            folder = vqgan_folder if method == "vqgan" else sd_folder("own")
            options = dict(model=folder) | options
        return edit(cat, "a red cat", method=method, **(SMALL[method] | options))

    return run


@every
def test_the_layer_over_the_picture_is_the_picture_bit_for_bit(
    edited: Any, cat: Path, tmp_path: Path, method: str
) -> None:
    found = edited(method)
    path, over = found.picture.save(tmp_path / "out.png"), tmp_path / "over.png"
    found.save_layer(over)
    below, layer = Image.open(cat).convert("RGBA"), Image.open(over)
    assert layer.mode == "RGBA"
    theirs = np.asarray(Image.alpha_composite(below, layer).convert("RGB"))
    assert (theirs == np.asarray(Image.open(path))).all()
    assert (theirs != np.asarray(Image.open(cat))).any()


@every
def test_the_same_arguments_give_the_same_bytes(edited: Any, method: str) -> None:
    one, again, other = (edited(method, seed=seed) for seed in (4, 4, 5))
    assert one.picture.bytes() == again.picture.bytes()
    assert (one.layer == again.layer).all()
    assert (one.layer != other.layer).any()


@every
def test_outside_the_mask_no_bit_changes(edited: Any, cat: Path, mask: Path, method: str) -> None:
    found, before = edited(method, mask=mask), load(cat).uint8()
    outside = load(mask).uint8()[..., 0] == 0
    assert outside.sum() > 1000
    assert (found.picture.uint8()[outside] == before[outside]).all()
    assert (found.picture.uint8()[~outside] != before[~outside]).any()


@every
def test_it_comes_again_from_its_recipe(edited: Any, tmp_path: Path, method: str) -> None:
    path = edited(method, strength=0.4).picture.save(tmp_path / "out.png")
    assert load(path).recipe["arguments"]["strength"] == 0.4
    assert replay(path).identical


def test_another_picture_by_the_name_is_told(edited: Any, cat: Path, tmp_path: Path) -> None:
    path = edited("sdedit").picture.save(tmp_path / "out.png")
    Picture(torch.zeros(3, 48, 64)).save(cat)
    with pytest.raises(BadInput, match="is not the one it was made from"):
        replay(path)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("strength", [0.02, 0.5, 1.0])
def test_sdedit_runs_all_its_steps(edited: Any, steps: int, strength: float) -> None:
    seen: list[int] = []
    watch = lambda each: seen.append(each.step)  # noqa: E731
    edited("sdedit", steps=steps, strength=strength, watch=watch)
    assert seen == list(range(1, steps + 1))


def test_sdedit_changes_more_the_stronger_it_is(edited: Any) -> None:
    least, some, most = (edited("sdedit", strength=s).picture.pixels for s in (0.001, 0.05, 0.9))
    assert 0 < float((some - least).abs().mean()) < float((most - least).abs().mean())


def test_previews_and_stopping(edited: Any) -> None:
    found = []
    edited("layer", watch=lambda each: found.append(each.preview()[0].pixels.shape))
    assert found == [(3, 48, 64)] * 3

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edited("layer", watch=stop)


def test_a_single_word_has_a_source_too(cat: Path, clip_folder: Path) -> None:
    found = edit(cat, "cat", clip=str(clip_folder), **SMALL["layer"])
    assert found.layer.shape == (48, 64, 4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(method="magic"), "no method 'magic': choose one of direction, latent, layer"),
        (dict(threshold=0.1), "the method layer takes no threshold"),
        (dict(text="  "), "the text is empty"),
        (dict(strength=0.0), "strength 0.0"),
        (dict(strength=1.5), "strength 1.5"),
        (dict(strength=float("nan")), "strength nan"),
        (dict(steps=0), "steps 0"),
        (dict(views=0), "views 0"),
        (dict(seed=-1), "seed -1"),
        (dict(source="a red cat"), "source and text are both"),
        (dict(model="embedded"), "the method layer takes no model"),
        (dict(method="sdedit", clip="embedded"), "the method sdedit takes no clip"),
        (dict(method="sdedit", source="a cat"), "the method sdedit takes no source"),
        (dict(picture="nowhere.png"), "cannot read the picture 'nowhere.png'"),
        (dict(mask="black"), "has no white"),
        (dict(mask="coloured"), "has colours"),
        (dict(mask="small"), "is 10x12 and the picture 64x48"),
    ],
)
def test_what_it_refuses(
    cat: Path, clip_folder: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    masks = {
        "black": torch.zeros(3, 48, 64),
        "coloured": load(cat).pixels,
        "small": torch.ones(3, 12, 10),
    }
    if options.get("mask") in masks:
        place = Picture(masks[options["mask"]]).save(tmp_path / "mask.png")
        options = options | {"mask": place}
    given: dict[str, Any] = {"picture": cat, "text": "a red cat", **options}
    with pytest.raises(BadInput, match=reason) as raised:
        edit(given.pop("picture"), given.pop("text"), **given)
    assert "\n" not in str(raised.value)


def test_the_command(
    cat: Path, mask: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, flags = tmp_path / "out.png", ["--clip", str(clip_folder), "--steps", "2", "--views", "2"]
    said = ["edit", str(cat), "a red cat", "--mask", str(mask), *flags, "-o", str(out)]
    assert main(said) == 0
    assert capsys.readouterr().out == f"{out}\n{tmp_path / 'out-layer.png'}\n"
    assert Image.open(tmp_path / "out-layer.png").mode == "RGBA"
    assert main(["replay", str(out)]) == 0
    assert main(["edit", str(cat), "", "-o", str(out)]) == 2
    assert "the text is empty" in capsys.readouterr().err
