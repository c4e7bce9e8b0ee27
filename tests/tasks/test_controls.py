"""Controls of tasks: as they are said, in recipes and replays, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from limner import Control, generate, inpaint, open_model, replay, restyle
from limner.errors import BadInput
from limner.levels import CLEAN, Level, flow_levels
from limner.models._text_to_image import TextToImage
from limner.models.controlnet import open_controlnet
from limner.picture import load
from limner.tasks import _controls
from limner.tasks._controls import canny, controls_of

sys.path.insert(0, str(Path(__file__).parents[1]))

from _controlnets import controlnet, drawing, folder_of

SMALL: dict[str, Any] = dict(steps=2, precision="float32")


@pytest.fixture(scope="module")
def model(sd_folder: Callable[[str], Path]) -> TextToImage:
    return open_model(sd_folder("sd1"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(controlnet(), tmp_path_factory.mktemp("controlnet"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a/b=p.png", Control("a/b", "p.png")),
        ("a/b:0.8=p.png", Control("a/b", "p.png", 0.8)),
        ("a/b:-2:0.1,.6=canny:p=q.png", Control("a/b", "p=q.png", -2.0, 0.1, 0.6, "canny")),
        ("a:1e-3=none:p.png", Control("a", "p.png", 0.001)),
    ],
)
def test_what_is_said_in_words(text: str, wanted: Control) -> None:
    assert controls_of(text) == [wanted] == controls_of([wanted])
    assert controls_of([text, wanted]) == [wanted, wanted]
    assert controls_of(None) == []


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("a/b", "give MODEL:WEIGHT=PICTURE"),
        ("=p.png", "give MODEL:WEIGHT=PICTURE"),
        ("a/b=", "give MODEL:WEIGHT=PICTURE"),
        ("a/b:much=p.png", "has the weight 'much'"),
        ("a/b:=p.png", "has the weight ''"),
        ("a/b:nan=p.png", "weight nan: give a number"),
        ("a/b:inf=p.png", "weight inf: give a number"),
        ("a/b:101=p.png", "up to 100"),
        ("a/b:1:0.5=p.png", "acts from '0.5': give two shares"),
        ("a/b:1:0.6,0.5=p.png", "0 ≤ from < to ≤ 1"),
        ("a/b:1:0,1.1=p.png", "0 ≤ from < to ≤ 1"),
        (Control("a", "p.png", weight="1"), "weight '1': give a number"),  # type: ignore[arg-type]
        (Control("a", "p.png", prepare="sobel"), "prepared by 'sobel': choose of none, canny"),
    ],
)
def test_what_is_no_control(said: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        controls_of(said)


@pytest.mark.parametrize(
    ("begin", "end", "steps", "acting"),
    [(0, 1, 4, "1111"), (0.25, 1, 4, "0111"), (0, 0.6, 5, "11100"), (0.3, 0.95, 4, "0010")],
)
def test_the_steps_in_which_it_acts(begin: float, end: float, steps: int, acting: str) -> None:
    """As StableDiffusionControlNetPipeline's controlnet_keep."""
    levels = flow_levels(steps)
    low, high = _controls._times(levels, begin, end)
    assert "".join("01"[low < level.time <= high] for level in levels[:-1]) == acting
    assert acting == "".join(
        str(int(not (i / steps < begin or (i + 1) / steps > end))) for i in range(steps)
    )


def test_a_part_too_short_for_a_step() -> None:
    with pytest.raises(BadInput, match=r"from 0.4 to 0.5 of 1 steps acts in none"):
        _controls._times([Level(0, 1), CLEAN], 0.4, 0.5)


def test_recipes_and_replays(model: TextToImage, folder: Path, tmp_path: Path) -> None:
    picture = drawing(tmp_path / "p.png", (80, 40))
    said = f"{folder}:0.8:0,0.5=canny:{picture}"
    made = generate("a cat", control=said, model=model, size=(64, 32), **SMALL)[0]
    recipe = made.recipe
    assert recipe is not None
    assert recipe["arguments"]["control"] == [
        dict(
            model=str(folder), picture=str(picture), weight=0.8, begin=0.0, end=0.5, prepare="canny"
        )
    ]
    network = open_controlnet(folder)
    assert recipe["controls"] == [dict(name=str(folder), fingerprint=network.fingerprint)]
    assert list(recipe["files"]) == [str(picture)]
    made.save(tmp_path / "made.png")
    assert replay(tmp_path / "made.png").identical
    opened = Control(network, picture, 0.8, 0.0, 0.5, "canny")
    again = generate("a cat", control=opened, model=model, size=(64, 32), **SMALL)[0]
    assert torch.equal(again.pixels, made.pixels) and again.recipe == recipe
    drawing(picture, seed=4)
    with pytest.raises(BadInput, match="not the one it was made from"):
        replay(tmp_path / "made.png")


def test_another_network_is_noted(model: TextToImage, tmp_path: Path) -> None:
    picture, folder = drawing(tmp_path / "p.png"), tmp_path / "net"
    folder_of(controlnet(), folder)
    made = generate("a cat", control=f"{folder}={picture}", model=model, **SMALL)[0]
    folder_of(controlnet(seed=1), folder)
    found = replay(made)
    assert not found.identical and "not those it was made with" in found.notes[0]


def test_a_picture_decides_nothing_that_is_fetched(
    model: TextToImage, folder: Path, tmp_path: Path
) -> None:
    made = generate(
        "a cat", control=f"{folder}={drawing(tmp_path / 'p.png')}", model=model, **SMALL
    )[0]
    assert made.recipe is not None
    made.recipe["arguments"]["control"][0]["model"] = "nobody/net"
    with pytest.raises(BadInput, match="'nobody/net', which is no folder"):
        replay(made)


@pytest.mark.parametrize("task", ["restyle", "inpaint"])
def test_pictures_painted_on_are_steered(
    task: str, model: TextToImage, folder: Path, tmp_path: Path
) -> None:
    picture, sketch = drawing(tmp_path / "p.png"), drawing(tmp_path / "s.png", seed=2)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    mask.save(tmp_path / "mask.png")
    told: dict[str, Any] = dict(model=model, **SMALL)
    if task == "inpaint":
        told |= dict(mask=tmp_path / "mask.png", feather=0, resample=1)
    paint = {"restyle": restyle, "inpaint": inpaint}[task]
    plain = paint(picture, "a cat", **told)[0]  # type: ignore[operator]
    steered = paint(picture, "a cat", control=f"{folder}={sketch}", **told)[0]  # type: ignore[operator]
    assert (plain.pixels - steered.pixels).abs().max() > 0.01
    assert steered.recipe is not None and str(sketch) in steered.recipe["files"]
    assert replay(steered).identical
    if task == "inpaint":
        outside = torch.ones(64, 64, dtype=torch.bool)
        outside[16:48, 16:48] = False
        assert torch.equal(steered.pixels[:, outside], load(picture).pixels[:, outside])


def test_a_control_lies_over_the_window_that_is_seen(
    model: TextToImage, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large picture the part about the mask is shown, of the control's picture the same."""
    seen: list[torch.Tensor] = []
    network = open_controlnet(folder)
    monkeypatch.setattr(
        network.network, "hint", lambda p: seen.append(p) or torch.zeros(1, 16, 1, 1)
    )
    Image.new("RGB", (256, 256), "gray").save(tmp_path / "p.png")
    mask, sketch = Image.new("L", (256, 256)), Image.new("RGB", (128, 128))
    mask.paste(255, (128, 128, 176, 176))
    sketch.paste((255, 255, 255), (64, 64, 88, 88))  # the mask's place, at half the size
    mask.save(tmp_path / "m.png")
    sketch.save(tmp_path / "s.png")
    inpaint(
        tmp_path / "p.png", "a cat", mask=tmp_path / "m.png", model=model, resample=1,
        control=Control(network, tmp_path / "s.png"), **SMALL,
    )  # fmt: skip
    (view,) = seen
    side = view.shape[2]
    assert view.shape == (1, 3, side, side) and 0.3 < view.mean() < 0.42  # .6 of each side
    assert view[0, :, side // 2, side // 2].min() > 0.99 and view[0, :, 2, 2].max() < 0.01


def test_edges_in_closed_form() -> None:
    """A square's outline, once it is as much brighter as the thresholds say: Sobel's 4 times a step
    of 100/255 alone is weak, and of 200/255 an edge."""

    def edges(step: float) -> torch.Tensor:
        picture = torch.full((1, 3, 24, 32), 0.3)
        picture[:, :, 8:16, 8:24] += step
        return canny(picture)

    for step, drawn in ((0.6, True), (0.21, True), (0.18, False), (0.05, False)):
        found = edges(step)
        assert found.shape == (1, 3, 24, 32)
        assert set(found.unique().tolist()) <= {0.0, 1.0}
        assert bool(found.any()) is drawn
    found = edges(0.6)[0, 0]
    assert not found[10:14, 11:21].any() and not found[:6].any() and not found[:, 27:].any()
    assert bool((found[7:10, 12:20].sum(0) == 1).all())  # one pixel wide
    assert bool((found[10:14, 6:10].sum(1) == 1).all())


def test_edges_are_another_librarys() -> None:
    from skimage.feature import canny as theirs

    noise = torch.Generator().manual_seed(0)
    small = torch.rand(1, 1, 8, 8, generator=noise)
    grey = torch.nn.functional.interpolate(small, size=(64, 64), mode="bicubic").clamp(0, 1)
    mine = canny(grey.expand(-1, 3, -1, -1))[0, 0].bool()
    # whose smoothing at sigma 0 is none, and whose ridges are interpolated, not of eight directions
    wanted = theirs(
        grey[0, 0].double().numpy(), sigma=0, low_threshold=100 / 255, high_threshold=200 / 255
    )
    assert 0.02 < mine.float().mean() < 0.3
    edges = mine, torch.from_numpy(wanted)
    for one, other in (edges, edges[::-1]):  # thinned otherwise, each lies by the other's
        near = torch.nn.functional.max_pool2d(other.float()[None], 3, 1, 1)[0]
        assert near[2:-2, 2:-2][one[2:-2, 2:-2]].mean() > 0.94


def test_on_the_command_line(
    run: Callable[..., tuple[int, str, str]], sd_folder: Callable[[str], Path], folder: Path
) -> None:
    picture = drawing(Path("p.png"))
    common = ["generate", "a cat", "--model", str(sd_folder("sd1")), "--steps", "1", "-o", "o.png"]
    status, out, err = run(*common, "--control", f"{folder}:0.8={picture}")
    assert (status, out.strip()) == (0, "o.png"), err
    status, out, _ = run("replay", "o.png")
    assert (status, out.strip()) == (0, "identical")
    Path("words.png").write_text("no picture")
    refused = {
        f"{folder}:much={picture}": "has the weight 'much'",
        f"{folder}=words.png": "'words.png' is no PNG",
        f"{folder}=missing.png": "cannot read the picture 'missing.png'",
        f"missing={picture}": "no model at 'missing'",
        f"{sd_folder('sd1') / 'vae'}={picture}": "is AutoencoderKL: expected a ControlNetModel",
        f"{sd_folder('sd1')}={picture}": "cannot read",
    }
    for said, says in refused.items():
        status, out, err = run(*common, "--control", said)
        assert status == 2 and out == "" and says in err, err
        assert len(err.strip().splitlines()) == 1
    status, _, err = run(
        *["restyle", str(picture), "a cat", "--model", str(sd_folder("own"))],
        *["--control", f"{folder}={picture}"],
    )
    assert status == 2 and "latents of channels 4, and" in err
