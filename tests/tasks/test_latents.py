"""invert, interpolate, mix and arithmetic with tiny models: their pictures, files and recipes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from limner import BadInput, Picture, arithmetic, interpolate, invert, mix, replay
from limner.cli import main
from limner.generators.stylegan import stylegan
from limner.models.stylegan import open_stylegan
from limner.noise import Noise
from limner.picture import load, psnr
from limner.tasks import Stopped
from limner.tasks._latent_file import Kept, load_latent, save_latent

sys.path.insert(0, str(Path(__file__).parent))
from _toys import stylegan_folder

GENERATORS = ("latent", "vqgan", "vqgan=logits", "stylegan", "stylegan=w", "stylegan=styles")
every = pytest.mark.parametrize("generator", GENERATORS)


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("styled") / "model")


@pytest.fixture
def given(
    sd_folder: Any, vqgan_folder: Path, styled: Path, tmp_path: Path, monkeypatch: Any
) -> Any:
    """given(generator) → the options for a tiny model of it, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def get(generator: str) -> dict[str, Any]:
        kind = generator.partition("=")[0]
        folders = {"latent": sd_folder("own"), "vqgan": vqgan_folder, "stylegan": styled}
        steps = {"steps": 4} if kind == "stylegan" else {}
        return dict(generator=generator, model=folders[kind], **steps)

    return get


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 66, 64))[0]).save(tmp_path / "a.png")


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return Picture(Noise(0, [1]).uniform((3, 40, 48))[0]).save(tmp_path / "b.png")


@every
def test_a_picture_and_its_latent_s_file_are_the_same_thing(
    given: Any, a: Path, b: Path, tmp_path: Path, generator: str
) -> None:
    file, options = tmp_path / "a.safetensors", given(generator)
    found = invert(a, save=file, **options)
    assert found.picture.pixels.shape == (3, 64, 64)
    target = load(a).pixels[:, 1:65]
    assert found.psnr == pytest.approx(psnr(found.picture.pixels, target), abs=1.0)
    kept = load_latent(file)
    assert kept.generator == generator and kept.size == (64, 64)
    assert all(torch.equal(kept.latent[name], part) for name, part in found.latent.items())
    ends = [interpolate(each, b, frames=3, **options).frames for each in (a, file)]
    assert all((x.uint8() == y.uint8()).all() for x, y in zip(*ends))
    assert (ends[0][0].uint8() == found.picture.uint8()).all(), "the first frame is the inversion"
    assert (ends[0][0].uint8() != ends[0][2].uint8()).any()


@every
def test_they_come_again_from_their_recipes(
    given: Any, a: Path, b: Path, tmp_path: Path, generator: str
) -> None:
    options = given(generator)
    between = interpolate(a, b, frames=3, **options)
    made = [invert(a, **options).picture, between.sheet, between.frames[1]]
    if generator != "latent":  # whose tiny model's 64 pixels take the longest
        made.append(arithmetic(a, add="smile", remove="age", strength=0.5, pairs=1, **options))
    if generator == "stylegan":
        made.append(mix(a, b, layers="middle,9", **options))
    for i, picture in enumerate(made):
        assert replay(picture.save(tmp_path / f"{i}.png")).identical
    options["model"] = str(tmp_path / "moved")
    recipe = made[0].recipe | {"arguments": made[0].recipe["arguments"] | {"model": "moved"}}
    with pytest.raises(BadInput, match="give that model yourself"):
        replay(Picture(made[0].pixels, recipe))
    Picture(torch.zeros(3, 64, 64)).save(a)
    with pytest.raises(BadInput, match="is not the one it was made from"):
        replay(tmp_path / "0.png")


def test_the_last_frame_is_the_other_s_inversion(given: Any, a: Path, styled: Path) -> None:
    options = given("stylegan")
    last = interpolate("seed:3", a, frames=2, **options).frames[1]
    assert (last.uint8() == invert(a, **options).picture.uint8()).all()


def test_seeds_are_stylegan_s_own_pictures(given: Any, styled: Path) -> None:
    frames = interpolate("seed:3", "seed:4", frames=3, model=styled).frames
    for kind in ("w+", "z"):
        generator = stylegan(open_stylegan(styled), kind=kind)
        name = "stylegan" if kind == "w+" else f"stylegan={kind}"
        own = interpolate("seed:3", "seed:4", frames=3, model=styled, generator=name).frames
        for frame, seed in ((own[0], 3), (own[2], 4)):
            wanted = generator.render(generator.start(Noise(seed, [0])))[0]
            assert (frame.uint8() == Picture(wanted.detach()).uint8()).all()
    assert (frames[1].uint8() != own[1].uint8()).any(), "the arc in z is not the line in w+"


def test_mixing_takes_the_layers_from_the_other(given: Any, styled: Path) -> None:
    """By hand: the rows of w+, with the first one's noise."""
    generator = stylegan(open_stylegan(styled))
    one, two = (generator.start(Noise(seed, [0])) for seed in (3, 4))
    w_plus = torch.cat([one["w+"][:, :4], two["w+"][:, 4:7], one["w+"][:, 7:]], 1)
    wanted = Picture(generator.render(one | {"w+": w_plus})[0].detach())
    made = mix("seed:3", "seed:4", layers="4-6", model=styled)
    assert (made.uint8() == wanted.uint8()).all()
    whole = mix("seed:3", "seed:4", layers="0-9", model=styled).uint8()
    assert (whole != made.uint8()).any()


def test_removing_takes_back_what_adding_gave(given: Any, a: Path, tmp_path: Path) -> None:
    """In latents: a file of the sum, less the attribute, is the picture's own latent again."""
    from limner.tasks._directions import direction
    from limner.tasks._latents import space_of

    options = given("latent")
    own = load_latent(_saved(invert(a, **options), "latent", options, tmp_path))
    space = space_of("latent", [], "latent", options["model"])
    towards = direction(space, "glasses", pairs=2, seed=0, report=lambda done: None)
    more = {name: part + 0.5 * towards[name] for name, part in own.latent.items()}
    file = save_latent(tmp_path / "m.safetensors", Kept("latent", own.fingerprint, own.size, more))
    back = arithmetic(file, remove="glasses", strength=0.5, pairs=2, **options)
    assert psnr(back.pixels, invert(a, **options).picture.pixels) > 60
    there = arithmetic(a, add="glasses", strength=0.5, pairs=2, **options)
    assert psnr(there.pixels, interpolate(file, file, frames=2, **options).frames[0].pixels) > 60


def _saved(found: Any, generator: str, options: dict[str, Any], folder: Path) -> Path:
    print_ = found.picture.recipe["model"]["fingerprint"]
    size = (found.picture.pixels.shape[2], found.picture.pixels.shape[1])
    return save_latent(folder / "s.safetensors", Kept(generator, print_, size, found.latent))


def test_progress_and_previews(given: Any, a: Path, b: Path) -> None:
    seen: list[tuple[int, int]] = []

    def watch(each: Any) -> None:
        seen.append((each.step, each.total))
        assert each.preview()[0].pixels.shape == (3, 64, 64)

    options = given("latent")
    invert(a, watch=watch, **(options | {"steps": 3}))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    interpolate(a, b, frames=2, watch=watch, **options)
    arithmetic(a, add="smile", remove=["age"], pairs=1, watch=watch, **options)
    assert seen[3:] == [(1, 2), (2, 2), (1, 2), (1, 2), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda o: invert("a.png", generator="pixels"), "no latents of a generator 'pixels': cho"),
        (lambda o: invert("a.png", steps=-1), "steps -1"),
        (lambda o: invert("nowhere.png"), "cannot read the picture"),
        (lambda o: invert("a.png", save="a.png", **o("latent")), "ends in .safetensors"),
        (lambda o: invert("a.png", **o("stylegan=z")), "has no z"),
        (lambda o: interpolate("a.png", "a.png", frames=1, **o("latent")), "frames 1"),
        (lambda o: interpolate("a.png", "seed:7", **o("latent")), "is for stylegan"),
        (lambda o: interpolate("a.png", "no.png", **o("latent")), "cannot read"),
        (lambda o: interpolate("l.safetensors", "a.png", **o("vqgan")), "of the generator latent"),
        (
            lambda o: interpolate("l.safetensors", "m.safetensors", **o("latent")),
            "32x32 are wanted",
        ),
        (lambda o: interpolate("o.safetensors", "a.png", **o("latent")), "is of another model"),
        (lambda o: interpolate("p.safetensors", "a.png", **o("latent")), "has other parts"),
        (lambda o: interpolate("h.safetensors", "a.png", **o("latent")), "up to 1024 can be"),
        (lambda o: mix("a.png", "a.png", generator="vqgan"), "only the generator stylegan can"),
        (lambda o: mix("a.png", "a.png", layers="9-12", **o("stylegan")), "the model has 0-9"),
        (lambda o: arithmetic("a.png", add="hat"), "no attribute 'hat': choose of smile, glasses"),
        (lambda o: arithmetic("a.png"), "nothing to add and nothing to remove"),
        (lambda o: arithmetic("a.png", add="age", remove="age"), "age is added and removed"),
        (lambda o: arithmetic("a.png", add="age", strength=0.0), "strength 0.0"),
        (lambda o: arithmetic("a.png", add="age", strength=float("nan")), "strength nan"),
        (lambda o: arithmetic("a.png", add="age", pairs=0), "pairs 0"),
        (lambda o: arithmetic("a.png", add="age", seed=-1), "seed -1"),
        (lambda o: arithmetic("l.safetensors", add="age", **o("latent")), "64x64 are wanted"),
    ],
)
def test_what_they_refuse(
    given: Any, a: Path, tmp_path: Path, monkeypatch: Any, call: Any, reason: str
) -> None:
    from limner.models._open import open_model

    monkeypatch.chdir(tmp_path)
    own = open_model(given("latent")["model"]).fingerprint
    parts = lambda side: {"latents": torch.zeros(1, 8, side // 4, side // 4)}  # noqa: E731
    for name, kept in {
        "l": Kept("latent", own, (32, 32), parts(32)),
        "m": Kept("latent", own, (16, 16), parts(16)),
        "o": Kept("latent", "other", (32, 32), parts(32)),
        "p": Kept("latent", own, (32, 32), {"z": torch.zeros(1, 3)}),
        "h": Kept("latent", own, (4096, 4096), parts(32)),
    }.items():
        save_latent(f"{name}.safetensors", kept)
    options = lambda kind: _unstepped(given(kind))  # noqa: E731
    with pytest.raises(BadInput, match=reason) as raised:
        call(options)
    assert "\n" not in str(raised.value)


def _unstepped(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "steps"}


def test_a_changed_recipe_is_refused(given: Any, styled: Path) -> None:
    sheet = interpolate("seed:1", "seed:2", frames=2, model=styled).sheet
    assert sheet.recipe is not None
    for changes in ({"frame": 7}, {"frame": "x"}, {"frames": 10**9}, {"frames": "2"}, {"a": 5}):
        recipe = sheet.recipe | {"arguments": sheet.recipe["arguments"] | changes}
        with pytest.raises(BadInput):
            replay(Picture(sheet.pixels, recipe))


def test_the_commands(
    given: Any, a: Path, styled: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(a, "face.png")
    own = ["--model", str(given("latent")["model"])]
    assert main(["invert", "face.png", *own, "--save", "face.safetensors"]) == 0
    shown, saved = capsys.readouterr().out.splitlines()
    assert shown.startswith("face-inverted.png\t") and shown.endswith(" dB")
    assert saved == "face.safetensors"
    said = ["interpolate", "face.safetensors", "face.png", *own, "--film", "o.gif", "--frames", "3"]
    assert main([*said, "-o", "o.png"]) == 0
    assert capsys.readouterr().out == "o.png\no.gif\n"
    assert Image.open("o.gif").size == (64, 64)
    said = ["mix", "seed:7", "seed:8", "--layers", "coarse", "--model", str(styled)]
    assert main([*said, "-o", "m.png"]) == 0
    capsys.readouterr()
    said = ["arithmetic", "face.png", "--add", "smile", "--add", "age", "--pairs", "1", *own]
    assert main([*said, "--generator", "latent", "--json", "-o", "n.png"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"]["arguments"]["add"] == ["smile", "age"]
    for name in ("face-inverted.png", "o.png", "m.png", "n.png"):
        assert main(["replay", name]) == 0
    capsys.readouterr()
    assert main(["arithmetic", "--list"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [
        "smile", "glasses", "beard", "age", "hair"
    ]  # fmt: skip
    assert main(["arithmetic", "face.png", *own]) == 2


@pytest.mark.parametrize("generator", ["stylegan", "latent"])
def test_ctrl_c_keeps_the_nearest_so_far(
    given: Any, a: Path, tmp_path: Path, generator: str
) -> None:
    options, file = given(generator) | dict(steps=6), tmp_path / "a.safetensors"
    seen: list[Picture] = []

    def stop(progress: Any) -> None:
        seen.extend(progress.preview())
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(Stopped) as stopped:
        invert(a, save=file, watch=stop, **options)
    (kept,) = stopped.value.pictures
    assert len(seen) == 3 and torch.equal(kept.pixels, seen[-1].pixels)
    assert file.exists() and replay(kept.save(tmp_path / "kept.png")).identical
    with pytest.raises(KeyboardInterrupt) as early, space_stopped():
        invert(a, **options)
    assert not isinstance(early.value, Stopped)


def space_stopped() -> Any:
    """Ctrl-C before the first step."""
    from unittest.mock import patch

    from limner.tasks._spaces import Space

    return patch.object(Space, "inverted", side_effect=KeyboardInterrupt)


def test_the_command_stopped_early_says_so(
    given: Any, a: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    from limner import _cli_latents

    def stopped(*_: Any, **__: Any) -> Any:
        raise Stopped([load(a)])

    monkeypatch.setattr(_cli_latents, "invert", stopped)
    said = ["invert", str(a), "-o", str(tmp_path / "out.png"), "--json"]
    assert main(said) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["psnr"] is None and "stopped early" in err
    assert (tmp_path / "out.png").exists()
