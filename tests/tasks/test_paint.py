"""paint: determinism, schedules, masks, stopping and going on, recipes, what it refuses."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import limner
from limner import Picture, open_clip, paint, replay
from limner.errors import BadInput
from limner.picture import from_uint8, psnr
from limner.prompt import Notice
from limner.tasks import Progress, Stopped
from limner.tasks._generators import GENERATORS

Get = Callable[[str], Path]


@pytest.fixture
def small(clip_folder: Path) -> dict[str, Any]:
    return dict(size="32x32", steps=6, views=2, clip=str(clip_folder), precision="float32")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    drawn = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    return from_uint8(drawn).save(tmp_path / "photo.png")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White on the left half."""
    pixels = torch.zeros(3, 32, 32)
    pixels[:, :, :16] = 1
    return Picture(pixels).save(tmp_path / "mask.png")


@pytest.fixture
def vqgan_folder(tmp_path: Path) -> Path:
    """A VQModel's folder, random: eight codes, a fourth of the picture's side."""
    from diffusers import VQModel

    torch.manual_seed(4)
    VQModel(
        block_out_channels=(8, 8, 8), norm_num_groups=4, num_vq_embeddings=8, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    ).save_pretrained(tmp_path / "vqgan")  # fmt: skip
    return tmp_path / "vqgan"


@pytest.fixture
def biggan_folder(tmp_path: Path) -> Path:
    """A BigGAN's folder, random, for pictures of 32 pixels."""
    from limner.models._biggan import write
    from limner.nets.biggan import Discriminator, Generator, Shape

    torch.manual_seed(5)
    shape = Shape(3, (16, 12, 8, 6), noise=4, width=4, attention=8)
    network = Generator(shape)
    told = network.conditions(torch.randn(8, 7, 4), torch.rand(8, 7, 3))
    network.measure([told])
    write(tmp_path / "biggan", ["cube", "cat", "tree"], network, Discriminator(shape))
    return tmp_path / "biggan"


@pytest.fixture
def styled_folder(tmp_path: Path) -> Path:
    """A StyleGAN2 of 32 pixels, random, whose colours are seldom out of range."""
    from limner.models._stylegan import write
    from limner.nets.stylegan import Generator, Shape

    torch.manual_seed(5)
    network = Generator(Shape((6, 6, 5, 4), width=8, mapping_layers=2))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("torgb.weight"):
                weight.mul_(0.1)
    network.measure(torch.randn(100, 8))
    write(tmp_path / "styled", network, None)
    return tmp_path / "styled"


class Halt(Exception):
    pass


def stopping(at: int, error: type[BaseException]) -> Callable[[Progress], None]:
    """A watcher that raises after this step."""

    def watch(progress: Progress) -> None:
        if progress.step == at:
            raise error

    return watch


def test_the_same_arguments_give_the_same_bytes(small: dict[str, Any]) -> None:
    runs = [paint("a red cube", seed=4, count=2, **small) for _ in range(2)]
    assert [picture.bytes() for picture in runs[0]] == [picture.bytes() for picture in runs[1]]
    other = paint("a red cube", seed=5, count=2, **small)
    assert not torch.equal(runs[0][0].pixels, other[0].pixels)
    assert not torch.equal(runs[0][0].pixels, runs[0][1].pixels)


def test_a_picture_alone_is_the_one_of_the_batch(small: dict[str, Any]) -> None:
    batch = paint("a cat", count=6, **small)  # two passes
    for k in (0, 3, 5):
        alone = paint("a cat", first=k, **small)[0]
        assert psnr(batch[k].pixels, alone.pixels) > 60
        assert alone.recipe is not None
        assert alone.recipe["sample"] == k


def test_a_precision_is_kept_and_replayed(small: dict[str, Any], tmp_path: Path) -> None:
    half, exact = (
        paint("a cat", **small | dict(precision=name))[0] for name in ("bfloat16", "float32")
    )
    assert half.recipe is not None and exact.recipe is not None
    assert (half.recipe["precision"], exact.recipe["precision"]) == ("bfloat16", "float32")
    assert not torch.equal(half.pixels, exact.pixels)
    assert psnr(half.pixels, exact.pixels) > 20
    assert replay(half.save(tmp_path / "half.png")).identical
    auto = paint("a cat", **small | dict(precision="auto"))[0]
    assert any(torch.equal(auto.pixels, each.pixels) for each in (half, exact))


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_comes_nearer_to_the_words(
    small: dict[str, Any],
    generator: str,
    sd_folder: Get,
    clip_folder: Path,
    vqgan_folder: Path,
    biggan_folder: Path,
    styled_folder: Path,
) -> None:
    clip = open_clip(clip_folder)
    own: dict[str, Any] = {
        "biggan": dict(model=biggan_folder),
        "biggan=softmax": dict(model=biggan_folder),
        "strokes": dict(strokes=12, rate=5.0),
        "stylegan": dict(model=styled_folder),
        "latent": dict(model=sd_folder("own")),
        "vqgan": dict(model=vqgan_folder),
        "vqgan=logits": dict(model=vqgan_folder, rate=5.0),
    }
    own = own.get(generator, own.get(generator.partition("=")[0], {}))
    told: list[Picture] = []
    final = paint(
        "a red cube", generator=generator, watch=lambda each: told.append(each.preview()[0]),
        **small | own | dict(steps=12, views=4, views_at_once=3, judge="clip=cosine"),
    )[0]  # fmt: skip
    words = clip.embed_texts(["a red cube"])[0]
    before, after = (
        float(clip.embed_pictures(each.pixels[None])[0] @ words) for each in (told[0], final)
    )
    assert after > before
    assert final.pixels.shape == (3, 32, 32)
    assert psnr(told[-1].pixels, final.pixels) == float("inf")


def test_the_recipe_holds_everything(small: dict[str, Any], photo: Path) -> None:
    prompt = f"a cat:2 | {photo}:0.5"
    picture = paint(prompt, seed=3, count=2, start=photo, judge=["clip", "smooth:.1"], **small)[1]
    recipe = picture.recipe
    assert recipe is not None
    assert json.loads(json.dumps(recipe))["sample"] == 1
    assert (recipe["task"], recipe["batch"]) == ("paint", [0, 2])
    assert (recipe["limner"], recipe["torch"]) == (limner.__version__, torch.__version__)
    given = set(inspect.signature(paint).parameters)
    assert set(recipe["arguments"]) == given - {"film", "svg", "save", "resume", "watch"}
    assert recipe["arguments"]["prompt"] == prompt
    assert recipe["arguments"]["judge"] == ("clip=spherical:1.0", "smooth=1:0.1")
    assert recipe["clips"] == [
        {"name": small["clip"], "fingerprint": open_clip(small["clip"]).fingerprint}
    ]
    import hashlib

    assert recipe["files"] == {str(photo): hashlib.sha256(photo.read_bytes()).hexdigest()}


def test_words_judges_and_weights_matter(small: dict[str, Any], photo: Path) -> None:
    small = small | dict(judge="clip")
    base = paint("a cat", **small)[0].pixels
    for prompt, options in [
        ("a horse", {}),
        ("a cat:-1", {}),
        ("a cat | a dog", {}),
        (f"a cat | {photo}", {}),
        ("a cat", dict(judge="clip,smooth:3")),
        ("a cat", dict(judge="clip,palette:3", palette="red, #00ff00")),
        ("a cat", dict(judge="clip:-1")),
        ("a cat", dict(views=3)),
        ("a cat", dict(rate=0.5)),
        ("a cat", dict(start=photo)),
    ]:
        assert not torch.equal(base, paint(prompt, **small | options)[0].pixels)
    assert torch.equal(base, paint("a cat", **small | dict(judge="clip,smooth:0"))[0].pixels)
    assert torch.equal(base, paint("a cat:2", **small)[0].pixels)


def test_judges_that_compare(small: dict[str, Any], photo: Path) -> None:
    """Held to the start by each, a picture stays nearer to it than without."""
    start = limner.load(photo).pixels
    options = small | dict(start=photo, generator="pixels", rate=3.0)

    def away(judge: str) -> float:
        return float((paint("a cat", judge=judge, **options)[0].pixels - start).square().mean())

    free = away("clip")
    for judge in ("likeness:100", "sparsity:100"):
        assert away(f"clip,{judge}") < 0.7 * free
    for judge in ("likeness=perceptual:100", "structure:100"):
        assert away(f"clip,{judge}") != free
    assert away("direction=a dog") != free


def test_symmetry_is_found(small: dict[str, Any]) -> None:
    options = small | dict(generator="pixels", steps=30)

    def apart(judge: str, dim: int) -> float:
        pixels = paint("a cat", judge=judge, **options)[0].pixels
        return float((pixels - pixels.flip(dim)).square().mean())

    assert apart("clip,symmetry:30", 2) < 0.3 * apart("clip", 2)
    assert apart("clip,symmetry=vertical:30", 1) < 0.3 * apart("clip", 1)


def test_a_schedule_changes_the_words(small: dict[str, Any]) -> None:
    def run(prompt: str, **options: Any) -> list[torch.Tensor]:
        told: list[torch.Tensor] = []
        watch = lambda each: told.append(each.preview()[0].pixels)  # noqa: E731
        final = paint(prompt, watch=watch, **small, **options)[0].pixels
        assert torch.equal(final, told[-1])
        return told

    cat, dog = run("a cat"), run("a dog")
    both = run("a cat", schedule="50%: a dog")
    assert len(both) == 6
    assert all(torch.equal(a, b) for a, b in zip(cat[:3], both[:3]))
    assert not any(torch.equal(a, b) for a, b in zip(cat[3:], both[3:]))
    assert all(torch.equal(a, b) for a, b in zip(dog, run("a cat", schedule="0: a dog")))


def test_after_a_change_of_words_the_best_is_looked_for_anew(small: dict[str, Any]) -> None:
    """Under a cat:-1 every loss is below 0, under a cat above it."""
    told: list[torch.Tensor] = []

    def watch(progress: Progress) -> None:
        told.append(progress.preview()[0].pixels)
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(Stopped) as stop:
        paint("a cat:-1", schedule="3: a cat", watch=watch, **small)
    assert torch.equal(stop.value.pictures[0].pixels, told[2])  # all that the new words judged


def test_a_grid_of_a_palette_has_its_colours(small: dict[str, Any]) -> None:
    options = small | dict(generator="grid", grid="8x4 square", palette="red, rgb(0,128,255)")
    picture = paint("a cat", **options)[0]
    colours = {tuple(each) for each in picture.uint8().reshape(-1, 3).tolist()}
    assert colours <= {(255, 0, 0), (0, 128, 255)}
    cells = picture.pixels.unflatten(2, (8, 4)).unflatten(1, (4, 8))
    assert torch.equal(cells, cells[:, :, :1, :, :1].expand_as(cells))


@pytest.mark.parametrize("generator", ["fourier", "grid"])
def test_outside_the_mask_the_start_stays(
    small: dict[str, Any], photo: Path, mask: Path, generator: str
) -> None:
    old = limner.load(photo).uint8()
    new = paint("a cat", generator=generator, start=photo, mask=mask, **small)[0].uint8()
    assert (new[:, 16:] == old[:, 16:]).all()
    assert (new[:, :16] != old[:, :16]).any()


def test_a_mask_alone_confines_the_judges(small: dict[str, Any], mask: Path) -> None:
    free, confined = (
        paint("a cat", generator="pixels", mask=each, **small)[0].pixels for each in (None, mask)
    )
    started = paint("a cat", generator="pixels", mask=mask, **small | dict(rate=1e-30))[0].pixels
    assert torch.equal(confined[:, :, 16:], started[:, :, 16:])
    assert not torch.equal(confined[:, :, :16], started[:, :, :16])
    assert not torch.equal(free[:, :, 16:], started[:, :, 16:])


def test_best_of_keeps_what_another_clip_ranks_highest(
    small: dict[str, Any], clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner import rank
    from limner.tasks import _look, _plan

    clip = open_clip(clip_folder)
    monkeypatch.setattr(_look, "open_clip", lambda _: clip)
    pictures = paint("a red cube", count=5, **small)
    order = [each.picture.recipe["sample"] for each in rank("a red cube", pictures, clip=clip)]  # type: ignore[index]
    best = paint("a dog", schedule="0: a red cube", count=2, best_of=5, **small)
    assert [picture.recipe["sample"] for picture in best] == order[:2]  # type: ignore[index]
    assert torch.equal(best[0].pixels, pictures[order[0]].pixels)
    monkeypatch.setattr(_plan, "open_clip", lambda _: clip)
    with pytest.warns(Notice, match="the very CLIP that was followed"):
        paint("a cat", best_of=2, **small | dict(clip="embedded"))


def test_ctrl_c_keeps_the_best_so_far(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Stopped) as stop:
        watch = stopping(4, KeyboardInterrupt)
        paint("a cat", generator="pixels", count=2, rate=40, watch=watch, **small)
    assert len(stop.value.pictures) == 2
    assert [each.recipe["stopped"] for each in stop.value.pictures if each.recipe] == [4, 4]

    from limner.generators.pixels import Pixels
    from limner.judges.clip import Clip
    from limner.judges.smooth import Smooth
    from limner.judges.weighted import Weighted
    from limner.noise import Noise
    from limner.prompt import parse
    from limner.searches.descend import descend

    clip = Clip([open_clip(small["clip"])], parse("a cat"), views=2)
    judge = Weighted([(clip, 1.0), (Smooth(), 0.5)])
    generator = Pixels((32, 32))
    states = list(descend(generator, judge, noise=Noise(0, [0, 1]), steps=6, rate=40.0))
    wanted = generator.render(states[3].best)
    assert not torch.equal(wanted, generator.render(states[3].latent))
    assert torch.equal(torch.stack([each.pixels for each in stop.value.pictures]), wanted)
    assert replay(stop.value.pictures[1].save(tmp_path / "out.png")).identical


def test_ctrl_c_before_the_first_step_has_nothing_to_keep(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from limner.tasks import _search

    def search(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(_search, "descend", search)
    with pytest.raises(KeyboardInterrupt) as stop:
        paint("a cat", save=tmp_path / "state.safetensors", **small)
    assert not isinstance(stop.value, Stopped)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        dict(count=2, schedule="3: a dog"),
        dict(count=2, schedule="4: a dog; 5: a horse"),
        dict(generator="grid", search="evolve", grid="8x8"),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, Halt])
def test_a_search_goes_on_to_the_same_bytes(
    small: dict[str, Any], tmp_path: Path, options: dict[str, Any], error: type[BaseException]
) -> None:
    if "search" in options:
        pytest.importorskip("pymoo")
    wanted = [each.bytes() for each in paint("a cat", **small, **options)]
    state = tmp_path / "state.safetensors"
    with pytest.raises(error):
        paint("a cat", save=state, watch=stopping(4, error), **small, **options)
    steps: list[int] = []
    watch = lambda each: steps.append(each.step)  # noqa: E731
    made = paint("a cat", save=state, resume=state, watch=watch, **small, **options)
    assert steps == [5, 6]
    assert [each.bytes() for each in made] == wanted
    again = paint("a cat", resume=state, **small, **options)  # saved in the end, too
    assert [each.bytes() for each in again] == wanted


def test_what_cannot_go_on(small: dict[str, Any], tmp_path: Path, photo: Path) -> None:
    from limner.searches._memory import load, save

    state = tmp_path / "state.safetensors"
    paint("a cat", save=state, **small)
    for options, reason in [
        (dict(prompt="a dog", seed=1), "begun with another prompt, seed:"),
        (dict(steps=7), "another steps"),
        (dict(generator="pixels"), "another generator"),
        (dict(first=1), "another samples"),
        (dict(resume=photo), "start it anew"),
    ]:
        with pytest.raises(BadInput, match=reason):
            paint(**{"prompt": "a cat", "resume": state, **small, **options})
    plain = load(state)
    save(state, replace(plain, memory={}))
    with pytest.raises(BadInput, match="not saved by this task"):
        paint("a cat", resume=state, **small)
    short = {name: part[..., :-1] for name, part in plain.latent.items()}
    save(state, replace(plain, latent=short, best=short))
    with pytest.raises(BadInput, match="not whole"):
        paint("a cat", resume=state, **small)


def test_a_film_ends_with_the_picture(small: dict[str, Any], tmp_path: Path) -> None:
    options = small | dict(generator="grid", grid="4x4", rate=10.0)
    picture = paint("a cat", count=2, film=tmp_path / "out.gif", **options)[0]
    near = []
    with Image.open(tmp_path / "out.gif") as film:
        assert (film.size, film.n_frames) == ((32, 32), 6)
        for i in range(6):
            film.seek(i)
            frame = from_uint8(np.asarray(film.convert("RGB")))
            near.append(psnr(frame.pixels, picture.pixels))
    assert near[5] > 30
    assert max(near[:5]) < 30


def test_an_svg_shows_the_picture(small: dict[str, Any], tmp_path: Path) -> None:
    resvg = pytest.importorskip("resvg_py")
    options = small | dict(generator="strokes", strokes=9, size="48x32")
    picture = paint("a cat", svg=tmp_path / "out.svg", **options)[0]
    text = (tmp_path / "out.svg").read_text()
    assert text.count("<path") == 9
    import io

    shown = Image.open(io.BytesIO(bytes(resvg.svg_to_bytes(svg_string=text)))).convert("RGB")
    assert psnr(from_uint8(np.asarray(shown)).pixels, picture.pixels) > 25


def test_watching(small: dict[str, Any]) -> None:
    seen: list[Progress] = []
    final = paint("a cat", count=5, watch=seen.append, **small)
    assert [(each.step, each.total) for each in seen] == [(i, 12) for i in range(1, 13)]
    assert len(seen[0].preview()) == 4
    assert torch.equal(seen[-1].preview()[0].pixels, final[4].pixels)
    with pytest.raises(Halt):
        paint("a cat", watch=stopping(1, Halt), **small)


def test_it_is_replayed(
    small: dict[str, Any], tmp_path: Path, photo: Path, mask: Path, sd_folder: Get
) -> None:
    for options in (
        dict(count=3, judge="clip,smooth:0.2", schedule="2: a dog", views_at_once=1),
        dict(start=photo, mask=mask, judge="clip,likeness:2"),
        dict(generator="grid", grid="6x5 hexagon", palette="red,blue,white"),
        dict(generator="strokes", strokes=5),
        dict(generator="latent", model=sd_folder("own")),
    ):
        picture = paint(f"a cat | {photo}", **small, **options)[-1]
        found = replay(picture.save(tmp_path / "out.png"))
        assert found.identical
        assert found.notes == ()
        assert found.picture.recipe is not None
        assert picture.recipe is not None
        for key in ("arguments", "clips", "model", "files"):
            old, new = (
                json.loads(json.dumps(r[key])) for r in (picture.recipe, found.picture.recipe)
            )
            ran = {"count", "first"} if key == "arguments" else set()
            assert (
                {k: old[k] for k in old if k not in ran} == {k: new[k] for k in new if k not in ran}
                if isinstance(old, dict)
                else old == new
            )


def test_a_recipe_is_not_trusted(
    small: dict[str, Any], tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    picture = paint("a cat", start=photo, **small)[0]
    assert picture.recipe is not None
    recipe = json.loads(json.dumps(picture.recipe))

    def changed(**arguments: Any) -> Picture:
        return replace(picture, recipe=recipe | {"arguments": recipe["arguments"] | arguments})

    for arguments, reason in [
        (dict(clip=["someone/some-clip"]), r"'someone/some-clip': give that clip yourself"),
        (dict(generator="latent", model="someone/model"), "give that model yourself"),
        (dict(start="/dev/zero"), "no such file"),
        (dict(mask="/dev/stdin"), "no such file"),
        (dict(clip=7), "cannot be followed"),
        (dict(size=[9**9, 8]), "size"),
        (dict(steps=10**9), "steps"),
        (dict(judge="../clip"), "judge"),
        (dict(views="many"), "views"),
        (dict(rate="fast"), "cannot be followed"),
        (dict(strokes="x", generator="strokes"), "."),
        (dict(palette=5, generator="grid"), "."),
    ]:
        with pytest.raises(BadInput, match=reason):
            replay(changed(**arguments))
    film = tmp_path / "film.gif"
    assert replay(changed(film=str(film), save=str(film))).identical
    assert not film.exists()
    for part in ({"files": 3}, {"files": {}, "arguments": {}}, {"files": {"/dev/zero": ""}}):
        with pytest.raises(BadInput):
            replay(replace(picture, recipe=recipe | part))
    Picture(torch.zeros(3, 32, 32)).save(photo)
    with pytest.raises(BadInput, match="not the one it was made from"):
        replay(picture)
    photo.unlink()
    with pytest.raises(BadInput, match="no such file"):
        replay(picture)


def test_another_clip_is_named(small: dict[str, Any], tmp_path: Path, clip_folder: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    path = paint("a cat", **small | dict(clip=str(folder)))[0].save(tmp_path / "out.png")
    shutil.move(folder, tmp_path / "moved")
    with pytest.raises(BadInput, match="give that clip yourself"):
        replay(path)
    assert replay(path, clip=str(tmp_path / "moved")).identical


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(prompt=""), "prompt is empty"),
        (dict(prompt="a cat | "), "empty phrase"),
        (dict(prompt="a cat:0"), "not all of them 0"),
        (dict(prompt="a cat | nowhere.png"), "'nowhere.png': there is no such file"),
        (dict(generator="magic"), "no generator 'magic': choose one of biggan, "),
        (dict(generator="../cli"), "no generator"),
        (dict(judge="clip,magic"), "no judge 'magic': choose of clip, direction"),
        (dict(judge="clip:heavy"), "judge 'clip:heavy': give NAME"),
        (dict(judge=""), "judge ''"),
        (dict(judge="clip=round"), "give clip=spherical, clip=cosine"),
        (dict(judge="saturation=2"), "give saturation alone"),
        (dict(judge="smooth"), "none reads the prompt: add clip"),
        (dict(judge="clip:0,smooth:0"), "weights are all 0"),
        (dict(judge="clip,likeness"), "the judge likeness compares with a picture"),
        (dict(judge="direction"), "direction=a dog"),
        (dict(judge="clip,palette"), "give some with --palette"),
        (dict(search="magic"), "no search 'magic': choose of descend, evolve"),
        (dict(search="evolve", schedule="1: a dog"), "no schedule"),
        (dict(search="evolve", generator="strokes"), "use --search descend"),
        (dict(schedule="9: a dog"), "never reached"),
        (dict(generator="grid", palette=" , "), "palette has no colour"),
        (dict(generator="grid", palette="blurple"), "unknown color specifier: 'blurple'"),
        (dict(generator="grid", grid="huge"), "grid 'huge'"),
        (dict(generator="grid", grid="4x4 star"), "no cells are called 'star'"),
        (dict(generator="grid", grid="64x4"), "cells"),
        (dict(grid="4x4"), "grid '4x4' is for the generator grid"),
        (dict(palette="red"), "palette 'red' is for the generator grid and the judge palette"),
        (dict(strokes=4), "is for the generator strokes"),
        (dict(model="embedded"), "is for the generator biggan, biggan=softmax, latent, stylegan"),
        (dict(generator="strokes", strokes=10**6), "strokes"),
        (dict(generator="strokes", start="PHOTO"), "strokes cannot start from a picture"),
        (dict(start="nowhere.png"), "nowhere.png"),
        (dict(mask="PHOTO", size="48x32"), "the mask .* is 32x32 and the picture 48x32"),
        (dict(mask="BLACK"), "black all over"),
        (dict(film="out.mp4", size="31x32"), "--size 32x32, or a .gif"),
        (dict(film="out.avi"), "ends in .gif or .mp4"),
        (dict(svg="out.svg"), "--generator strokes"),
        (dict(svg="out.txt", generator="strokes"), "ends in .svg"),
        (dict(save="state.pt"), "ends in .safetensors"),
        (dict(save="state.safetensors", count=5), "up to 4 can be saved"),
        (dict(resume="nowhere.safetensors"), "cannot read the search"),
        (dict(count=0), "count 0"),
        (dict(best_of=1, count=2), "best-of 1"),
        (dict(steps=0), "steps 0"),
        (dict(views=0), "views 0"),
        (dict(views_at_once=0), "views-at-once 0"),
        (dict(rate=0.0), "rate 0.0"),
        (dict(rate=float("nan")), "rate nan"),
        (dict(size="big"), "size 'big'"),
        (dict(clip="/no/clip"), "no model at"),
        (dict(clip=""), "no CLIP"),
        (dict(precision="int4"), "precision 'int4'"),
    ],
)
def test_what_it_refuses(
    small: dict[str, Any], photo: Path, tmp_path: Path, options: dict[str, Any], reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Picture(torch.zeros(3, 32, 32)).save("BLACK.png")
    places = {"PHOTO": str(photo), "BLACK": "BLACK.png"}
    given = {k: places.get(v, v) if isinstance(v, str) else v for k, v in options.items()}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadInput, match=reason) as raised:
        paint(**{"prompt": "a cat", **small, **given})
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert sorted(tmp_path.iterdir()) == before
