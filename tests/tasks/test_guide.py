"""guide: kinds from one noise, what is left out, recipes that repeat, Ctrl-C, refusals, sheets."""

from __future__ import annotations

import inspect
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from limner import guide, open_model, replay
from limner.denoisers.judge import Judge
from limner.errors import BadInput
from limner.judges.clip import Clip
from limner.levels import Level
from limner.models.clip import open_clip
from limner.noise import Noise
from limner.picture import Picture, load, psnr
from limner.prompt import Notice, parse
from limner.tasks import Progress, Stopped
from limner.tasks._guided import KINDS, kinds_of
from limner.tasks._paint import Plan, from_noise, states
from limner.tasks._sight import decoded, linear
from limner.training._noised import begun, write

Get = Callable[[str], Path]


@pytest.fixture(scope="session")
def weak(sd_folder: Get, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own, less well trained."""
    folder = Path(shutil.copytree(sd_folder("own"), tmp_path_factory.mktemp("weak") / "model"))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.manual_seed(8)
    shaken = {n: w + 0.1 * w.std() * torch.randn_like(w) for n, w in load_file(file).items()
              if w.numel() > 1}  # fmt: skip
    save_file(load_file(file) | shaken, file, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def noised(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Towers over noisy latents of 8 channels: random, tiny."""
    out, clip = tmp_path_factory.mktemp("noised"), open_clip(str(clip_folder))
    torch.manual_seed(7)
    told = {"name": str(clip_folder), "fingerprint": clip.fingerprint}
    for recipe, outputs, card in (
        ("noised-clip", 16, {"clip": told, "scale": 20.0}),
        ("noised-classifier", 3, {"classes": ["dog", "cat", "cube"]}),
    ):
        tower, shape = begun(8, outputs, 8)
        write(out / recipe, tower, {"recipe": recipe, "tower": shape} | card)
    return {"noised_clip": out / "noised-clip", "classifier": out / "noised-classifier"}


@pytest.fixture
def small(sd_folder: Get, clip_folder: Path, weak: Path, noised: dict[str, Path]) -> dict[str, Any]:
    return dict(
        model=sd_folder("own"), clip=str(clip_folder), weak=weak, steps=3, count=2, views=2,
        precision="float32", noised_clip_scale=20.0, classifier_scale=20.0, **noised,
    )  # fmt: skip


def test_all_kinds_begin_from_the_same_noise_and_differ(small: dict[str, Any]) -> None:
    watched: list[tuple[int, int]] = []
    pictures = guide(
        "a red cat", **small, first=5, watch=lambda each: watched.append((each.step, each.total))
    )
    told = [each.recipe or {} for each in pictures]
    assert [each["arguments"]["compare"] for each in told[::2]] == list(KINDS)
    assert [each["sample"] for each in told] == [5, 6] * 6
    assert watched == [(step, 18) for step in range(1, 19)]
    for i, one in enumerate(pictures[::2]):
        for other in pictures[2 * i + 2 :: 2]:
            assert 12 < psnr(one.pixels, other.pixels) < 70
    networks = {each["arguments"]["compare"]: each["clips"] + each["guides"] for each in told}
    assert [len(networks[kind]) for kind in KINDS] == [0, 0, 1, 1, 1, 1]


def test_none_and_cfg_are_generate_s(small: dict[str, Any]) -> None:
    from limner import generate

    pictures = guide("a red cat", **small, compare="none,cfg")
    same = {key: small[key] for key in ("model", "steps", "count", "precision")}
    for scale, row in ((1.0, pictures[:2]), (3.0, pictures[2:])):
        for one, other in zip(row, generate("a red cat", **same, guidance_scale=scale)):
            assert torch.equal(one.pixels, other.pixels)


@pytest.mark.parametrize("through", ["x0", "denoiser"])
def test_clip_is_the_judge_s_guidance(
    small: dict[str, Any], clip_folder: Path, through: Any
) -> None:
    from limner.tasks._paint import guided

    model = open_model(small["model"])
    plan = Plan("a red cat", "", 3, 3, 1.0, (0.0, 1.0), 0.0, "dpmpp_2m", (64, 64))
    noise = Noise(3, range(2))
    judge = Clip([open_clip(str(clip_folder))], parse("a red cat"), views=2)
    own = Judge(
        guided(model, plan), judge, lambda x: decoded(model, x), 500.0, noise, through=through
    )
    *_, end = states(replace(from_noise(model, plan), denoiser=own), plan, range(2))
    told = dict(compare="clip", clip_scale=500.0, seed=3, sight="decoder", through=through)
    found = guide("a red cat", **small, **told)
    torch.testing.assert_close(
        torch.stack([each.pixels for each in found]), model.decode(end.x), atol=2e-3, rtol=0
    )
    free = guide("a red cat", **small, compare="none", seed=3)
    assert psnr(found[0].pixels, free[0].pixels) < 60


def test_a_picture_is_the_same_alone_and_among_others_and_when_replayed(
    small: dict[str, Any], tmp_path: Path
) -> None:
    kinds = "cfg+clip, clip, noised-clip+classifier+auto"
    pictures = guide("a red cat", **small, compare=kinds)
    for each in pictures[1::2]:
        place = each.save(tmp_path / "one.png")
        again = replay(place)
        assert again.identical, (each.recipe or {})["arguments"]["compare"]
        assert again.notes == ()
    alone = guide("a red cat", **(small | {"count": 1}), compare="clip", first=1)
    assert psnr(alone[0].pixels, pictures[3].pixels) > 55


def test_what_cannot_be_had_is_left_out_with_a_notice_or_refused(
    small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.models import embedded

    monkeypatch.setattr(embedded, "__file__", str(tmp_path / "limner" / "models" / "embedded.py"))
    less = {key: small[key] for key in ("model", "clip", "steps", "views", "precision")}
    with pytest.warns(Notice, match="left out: noised-clip .*; classifier .*; auto ") as seen:
        pictures = guide("a red cat", **less, count=1)
    assert len(seen) == 1
    kinds = [(each.recipe or {})["arguments"]["compare"] for each in pictures]
    assert kinds == ["none", "cfg", "clip"]
    for kind, said in (
        ("noised-clip", "limner train noised-clip -o RUN"),
        ("cfg+classifier", "limner train noised-classifier -o RUN"),
        ("auto", "earlier checkpoint.*--weak"),
    ):
        with pytest.raises(BadInput, match=said):
            guide("a red cat", **less, compare=kind)


def test_with_all_there_is_no_notice(small: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert len(guide("a red cat", **(small | {"count": 1, "steps": 1}))) == 6


def test_ctrl_c_keeps_the_kinds_that_are_done(small: dict[str, Any]) -> None:
    def until(progress: Progress) -> None:
        assert isinstance(progress.preview()[0], Picture)
        if progress.step == stop:
            raise KeyboardInterrupt

    stop = 5
    with pytest.raises(Stopped) as found:
        guide("a red cat", **small, compare="none,clip", watch=until)
    assert len(found.value.pictures) == 2
    stop = 2
    with pytest.raises(KeyboardInterrupt) as ended:
        guide("a red cat", **small, compare="none,clip", watch=until)
    assert not isinstance(ended.value, Stopped)


def test_parts_of_a_prompt_are_composed(small: dict[str, Any]) -> None:
    pictures = guide("a red cat | a dog:-0.5", **small, compare="none,clip,noised-clip,cfg")
    assert len(pictures) == 8


def test_kinds_are_read() -> None:
    assert kinds_of("cfg, clip + auto") == ["cfg", "clip+auto"]
    assert kinds_of(["none", "cfg,clip"]) == ["none", "cfg", "clip"]
    for said in ("cgf", "", "none+cfg", "clip+clip", "cfg,"):
        with pytest.raises(BadInput, match="choose of none, cfg, clip"):
            kinds_of(said)
    with pytest.raises(BadInput, match="give each once"):
        kinds_of("cfg,clip,cfg")


@pytest.mark.parametrize(
    "told, said",
    [
        (dict(views=0), "views 0"),
        (dict(through="x1"), "--through 'x1': give x0 or denoiser"),
        (dict(sight="eye"), "--sight 'eye': give linear or decoder"),
        (dict(clip_scale=float("nan")), "--clip-scale nan"),
        (dict(auto_scale=1e9), "--auto-scale"),
        (dict(count=0), "count 0"),
        (dict(sampler="nine"), "no sampler 'nine'"),
        (dict(guidance_interval=(0.8, 0.2)), "interval"),
    ],
)
def test_bad_input_is_told_before_anything_is_painted(
    small: dict[str, Any], told: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        guide("a red cat", **(small | told))


def test_models_that_do_not_fit_are_told(small: dict[str, Any], sd_folder: Get) -> None:
    with pytest.raises(BadInput, match="latents of 4 channels"):
        guide("a red cat", **(small | {"weak": sd_folder("sd1")}), compare="auto")
    with pytest.raises(BadInput, match="latents of 8 channels"):
        guide("a red cat", **(small | {"model": sd_folder("sd1")}), compare="noised-clip")
    with pytest.raises(BadInput, match="names none of the classes"):
        guide("a horse", **small, compare="classifier")
    with pytest.raises(BadInput, match="no network of limner train noised-clip"):
        guide("a cat", **(small | {"noised_clip": small["classifier"]}), compare="noised-clip")


def test_a_recipe_never_decides_what_is_fetched(small: dict[str, Any], tmp_path: Path) -> None:
    picture = guide("a red cat", **(small | {"count": 1}), compare="auto+clip")[0]
    for key in ("weak", "clip"):
        recipe = json.loads(json.dumps(picture.recipe))
        recipe["arguments"][key] = "someone/model" if key == "weak" else ["someone/model"]
        with pytest.raises(BadInput, match="guided by 'someone/model', which is not here"):
            replay(Picture(picture.pixels, recipe))


def test_linear_sight_is_near_the_decoder_s_where_there_is_a_model() -> None:
    from limner.models.embedded import folder

    try:
        folder("diffusion")
    except BadInput:
        pytest.skip("no embedded model")
    from limner.data._open import open_data

    model = open_model()
    drawn, _ = open_data("world:scenes", size=128).batch(range(500, 508))
    pictures = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
    latents = model.encode(pictures)
    small = functional.interpolate(model.decode(latents), scale_factor=0.5, mode="area")
    x0 = latents.requires_grad_()
    found = linear(model)(x0)
    assert found.shape == (8, 3, 64, 64)
    assert psnr(found.detach().clamp(0, 1), small) > 24
    found.sum().backward()
    assert x0.grad is not None


def test_linear_sight_is_the_best_map_of_a_linear_encoder() -> None:
    """An encoder that keeps each 2×2 pixels' colours can be undone by it."""
    from types import SimpleNamespace

    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 3, 2, 2, generator=draw)
    model: Any = SimpleNamespace(
        downscale=2, device="cpu", encode=lambda x: functional.conv2d(x, mixing, stride=2) + 0.3
    )
    pictures = torch.rand(2, 3, 32, 32, generator=draw)
    small = functional.avg_pool2d(pictures, 2)
    assert psnr(linear(model)(model.encode(pictures)).clamp(0, 1), small) > 15


def test_the_command_paints_a_sheet(
    run: Any, small: dict[str, Any], clip_folder: Path, tmp_path: Path
) -> None:
    flags = ["--model", small["model"], "--clip", clip_folder, "--steps", "2", "--count", "3"]
    flags += ["--views", "2", "--compare", "none,cfg+clip", "--precision", "float32"]
    status, out, err = run("guide", "a red cat", *flags, "-o", "out.png", "--singles")
    names = ["out.png", *(f"out-{kind}-{i}.png" for kind in ("none", "cfg+clip") for i in range(3))]
    assert (status, out.split(), err) == (0, names, "")
    sheet = load(tmp_path / "out.png")
    height, width = sheet.pixels.shape[1:]
    assert width > 3 * 64 and 2 * 64 < height < 3 * 64
    assert [each["sample"] for each in (sheet.recipe or {})["of"]] == [0, 1, 2] * 2
    assert run("replay", "out-cfg+clip-1.png")[:2] == (0, "identical\n")
    status, out, _ = run("guide", "a red cat", *flags, "--json", "-o", "new/more.png")
    told = json.loads(out)
    assert told["sheet"] == "new/more.png" and len(told["pictures"]) == 6
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["more.png"]
    status, _, err = run("guide", "a red cat", "--compare", "cgf")
    assert status == 2 and "no guidance 'cgf'" in err


def test_every_keyword_is_a_flag(run: Any) -> None:
    status, out, _ = run("guide", "--help")
    assert status == 0 and "Example: limner guide " in out
    for name, parameter in inspect.signature(guide).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "watch":
            assert f"--{name.replace('_', '-')}" in out


def test_levels_of_pure_noise_are_let_be(small: dict[str, Any]) -> None:
    """own's table ends in zero signal: its first level has no gradient."""
    model = open_model(small["model"])
    plan = Plan("a cat", "", 0, 2, 1.0, (0.0, 1.0), 0.0, "ddim", (64, 64))
    assert from_noise(model, plan).levels[0] == Level(0.0, 1.0)
    for each in guide("a cat", **(small | {"steps": 1, "count": 1})):
        assert bool(each.pixels.isfinite().all())
