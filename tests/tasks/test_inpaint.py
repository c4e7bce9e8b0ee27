"""restyle, inpaint, outpaint: bits that stay, diffusers' own pictures, recipes, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner import BadInput, Picture, inpaint, open_model, outpaint, replay, restyle
from limner.noise import Noise
from limner.picture import load
from limner.tasks._masks import feathered
from limner.tasks._paint import levels
from limner.tasks._window import window

Get = Callable[[str], Path]
SMALL: dict[str, Any] = dict(steps=2, resample=2, precision="float32")


@pytest.fixture(scope="session")
def inpainting(sd_folder: Get, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sd1 with a U-Net of 9 channels."""
    from diffusers import UNet2DConditionModel

    folder = Path(shutil.copytree(sd_folder("sd1"), tmp_path_factory.mktemp("nine") / "model"))
    torch.manual_seed(9)
    config = dict(UNet2DConditionModel.load_config(folder / "unet"), in_channels=9)
    unet = UNet2DConditionModel.from_config(config)
    unet.save_pretrained(folder / "unet")
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 64, 64))[0]).save(tmp_path / "scene.png")


def saved(mask: torch.Tensor, path: Path) -> Path:
    return Picture(mask.expand(3, -1, -1)).save(path)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    grey = torch.zeros(1, 64, 64)
    grey[:, 16:48, 8:40] = 1
    return saved(grey, tmp_path / "mask.png")


@pytest.mark.parametrize("seed", range(6))
def test_outside_any_mask_no_bit_changes(
    sd_folder: Get, inpainting: Path, tmp_path: Path, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    height, width = (int(side) for side in draw.integers(5, 150, 2))
    before = Picture(torch.from_numpy(draw.random((3, height, width), np.float32)))
    place = before.save(tmp_path / "a.png")
    share = torch.from_numpy(draw.random((1, height, width), np.float32))
    grey = torch.where(share < draw.uniform(0.01, 0.9), share.flip(2), 0.0)
    grey[0, 0, 0], grey[0, -1, -1] = 1, 0
    white = load(saved(grey, tmp_path / "m.png")).pixels[:1] > 0
    model = inpainting if seed % 2 else sd_folder("own")
    options = dict(feather=int(draw.integers(0, 4)), whole=bool(seed % 3), seed=seed)
    found = inpaint(place, "a cat", mask=tmp_path / "m.png", model=model, **SMALL, **options)[0]
    outside = ~white.expand(3, -1, -1)
    assert torch.equal(found.pixels[outside], load(place).pixels[outside])
    out = load(found.save(tmp_path / "out.png"))
    assert torch.equal(out.pixels[outside], load(place).pixels[outside])
    assert not torch.equal(out.pixels, load(place).pixels)


@pytest.mark.parametrize("size, side, by", [((64, 64), 64, 4), ((37, 150), 64, 8), ((9, 7), 64, 4)])
def test_each_cell_that_a_masked_pixel_touches_is_painted(
    size: tuple[int, int], side: int, by: int
) -> None:
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        mask = (torch.rand(1, 1, *size, generator=draw) < 0.02).float() * 0.1
        mask[0, 0, size[0] // 2, size[1] // 2] = 1
        seen = window(size, side, by, mask)
        cells = seen.cells(mask)[0, 0]
        inside = mask[0, 0, seen.rows, seen.columns]
        assert float(inside.sum()) == float(mask.sum())
        scale = [a / b for a, b in zip(seen.scaled, seen.size)]
        for row, column in (inside > 0).nonzero().tolist():
            for y in (row * scale[0] + 1e-6, (row + 1) * scale[0] - 1e-6):
                for x in (column * scale[1] + 1e-6, (column + 1) * scale[1] - 1e-6):
                    assert cells[int(y / by), int(x / by)] == 1


def test_feathers_grow_inward() -> None:
    mask = torch.zeros(1, 1, 9, 12)
    mask[..., 2:9, 3:10] = 1
    soft = feathered(mask, 2)
    assert torch.equal(soft > 0, mask > 0)
    row = soft[0, 0, 6, 3:10]
    assert row.tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 2 / 3, 1 / 3])
    assert float(soft[0, 0, 8, 6]) == 1  # at the picture's own edge it stays
    assert torch.equal(feathered(mask, 0), mask)


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., np.ndarray]:
    """diffusers' pipelines from limner's noise, with the latents' mean."""
    import diffusers
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, *_: self.mode())

    def painted(kind: str, folder: Path, seed: int, **options: Any) -> np.ndarray:
        pipe = getattr(diffusers, kind).from_pretrained(folder, safety_checker=None)
        pipe.set_progress_bar_config(disable=True)
        config = {**pipe.scheduler.config, "timestep_spacing": "trailing"}
        pipe.scheduler = diffusers.DDIMScheduler.from_config(
            config, set_alpha_to_one=True, clip_sample=False
        )
        noise = lambda shape, **_: Noise(seed, [0]).normal(shape[1:])  # noqa: E731
        monkeypatch.setattr(f"{type(pipe).__module__}.randn_tensor", noise)
        found = pipe("a red cat", guidance_scale=5.0, output_type="np", **options).images[0]
        return found.transpose(2, 0, 1)

    return painted


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_restyle_is_diffusers_img2img(sd_folder: Get, scene: Path, theirs: Any, kind: str) -> None:
    mine = restyle(
        scene, "a red cat", strength=0.5, seed=4, steps=4, sampler="ddim", guidance_scale=5.0,
        model=sd_folder(kind), precision="float32",
    )[0]  # fmt: skip
    wanted = theirs(
        "StableDiffusionImg2ImgPipeline", sd_folder(kind), 4, image=load(scene).image(),
        strength=0.5, num_inference_steps=8,
    )  # fmt: skip
    assert np.abs(mine.pixels.numpy() - wanted).max() < 1e-3


@pytest.mark.parametrize("kind, strength", [("sd1", 0.5), ("sd2", 0.5), ("nine", 0.5), ("nine", 1)])
def test_inpaint_is_diffusers(
    sd_folder: Get, inpainting: Path, scene: Path, mask: Path, theirs: Any, kind: str,
    strength: float,
) -> None:  # fmt: skip
    folder = inpainting if kind == "nine" else sd_folder(kind)
    mine = inpaint(
        scene, "a red cat", mask=mask, strength=strength, seed=4, steps=4, sampler="ddim",
        feather=0, resample=1, guidance_scale=5.0, model=folder, precision="float32",
    )[0]  # fmt: skip
    wanted = theirs(
        "StableDiffusionInpaintPipeline", folder, 4, image=load(scene).image(), height=64,
        width=64, mask_image=load(mask).image().convert("L"), strength=float(strength),
        num_inference_steps=round(4 / strength),
    )  # fmt: skip
    inside = (load(mask).pixels > 0).numpy()
    assert np.abs(mine.pixels.numpy() - wanted)[inside].max() < 1e-3


@pytest.mark.parametrize("strength", [1e-4, 0.03, 0.5, 1.0])
def test_strength_eats_no_steps(sd_folder: Get, scene: Path, strength: float) -> None:
    model = open_model(sd_folder("own"))
    along = levels(model, 7, strength)
    assert len(along) == 8 and all(a.ratio > b.ratio for a, b in pairwise(along))
    seen: list[tuple[int, int]] = []
    watch = lambda each: seen.append((each.step, each.total))  # noqa: E731
    restyle(scene, "a cat", model=model, strength=strength, steps=7, watch=watch)
    assert seen == [(i, 7) for i in range(1, 8)]


def test_they_come_again_and_one_is_as_in_a_batch(
    sd_folder: Get, scene: Path, mask: Path, tmp_path: Path
) -> None:
    own = dict(model=sd_folder("own"), count=3, seed=5)
    runs = [
        restyle(scene, "a cat", strength=0.4, steps=2, **own),
        inpaint(scene, "a cat", mask=mask, **own, **SMALL),
        outpaint(scene, "a cat", left=9, bottom=5, **own, **SMALL),
    ]
    for pictures in runs:
        assert not torch.equal(pictures[0].pixels, pictures[2].pixels)
        assert replay(pictures[2].save(tmp_path / "out.png")).identical
    scene.write_bytes(mask.read_bytes())
    with pytest.raises(BadInput, match="is not the one it was made from"):
        replay(tmp_path / "out.png")


def test_outpaint_adds_and_changes_nothing(sd_folder: Get, scene: Path) -> None:
    found = outpaint(
        scene, "a cat", left=3, right=10, top=1, bottom=70, model=sd_folder("own"), **SMALL
    )[0]
    assert found.pixels.shape == (3, 135, 77)
    assert torch.equal(found.pixels[:, 1:65, 3:67], load(scene).pixels)


@pytest.mark.parametrize(
    "task, options, reason",
    [
        (restyle, dict(strength=0.0), "strength 0.0"),
        (restyle, dict(strength=1.5), "strength 1.5"),
        (restyle, dict(model="nine"), "was trained for inpainting"),
        (inpaint, dict(strength=float("nan")), "strength nan"),
        (inpaint, dict(mask="black"), "has no white"),
        (inpaint, dict(mask="white"), "limner restyle paints all"),
        (inpaint, dict(mask="small"), "is 10x12 and the picture 64x64"),
        (inpaint, dict(feather=-1), "feather -1"),
        (inpaint, dict(resample=0), "resample 0"),
        (outpaint, dict(), "nothing to add"),
        (outpaint, dict(left=-1), "left -1"),
    ],
)
def test_what_they_refuse(
    inpainting: Path, sd_folder: Get, scene: Path, tmp_path: Path, task: Any,
    options: dict[str, Any], reason: str,
) -> None:  # fmt: skip
    masks = {"black": torch.zeros(1, 64, 64), "white": torch.ones(1, 64, 64)}
    masks["small"] = torch.ones(1, 12, 10)
    if "mask" in options:
        options = options | {"mask": saved(masks[options["mask"]], tmp_path / "mask.png")}
    elif task is inpaint:
        options = options | {"mask": scene}
    folder = inpainting if options.get("model") else sd_folder("own")
    if task is inpaint and options["mask"] == scene:
        half = torch.zeros(1, 64, 64)
        half[:, :9] = 1
        options = options | {"mask": saved(half, tmp_path / "mask.png")}
    with pytest.raises(BadInput, match=reason) as raised:
        task(scene, "a cat", **(options | {"model": folder}))
    assert "\n" not in str(raised.value)


def test_the_commands(run: Any, sd_folder: Get, scene: Path, mask: Path, tmp_path: Path) -> None:
    own = ["--model", str(sd_folder("own")), "--steps", "2", "-o", "out.png", "--json"]
    for said in (
        ["restyle", str(scene), "a cat", "--strength", "0.5"],
        ["inpaint", str(scene), "--mask", str(mask), "a cat"],
        ["outpaint", str(scene), "--left", "8", "a cat"],
    ):
        status, out, _ = run(*said, *own)
        assert status == 0 and json.loads(out)["pictures"][0]["recipe"]["task"] == said[0]
        assert run("replay", "out.png")[:2] == (0, "identical\n")
    assert run("inpaint", str(scene), "a cat")[0] == 2
    assert run("restyle", str(scene), "a cat", "--strength", "2")[0] == 2
