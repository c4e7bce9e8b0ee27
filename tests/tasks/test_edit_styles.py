"""StyleCLIP's three ways to edit, with a tiny StyleGAN2: stylegan, mapper and direction."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limner import BadInput, Picture, edit, replay
from limner.generators.stylegan import stylegan
from limner.models import _channels
from limner.models.clip import open_clip
from limner.models.directions import write as write_directions
from limner.models.mapper import open_mapper
from limner.models.mapper import write as write_mapper
from limner.models.stylegan import open_stylegan
from limner.nets.mapper import Mapper
from limner.noise import Noise
from limner.picture import load, resize
from limner.prompt import TEMPLATES, fill
from limner.tasks import _edit_direction, _edit_stylegan, _portrait
from limner.tasks._editing import Order
from limner.tasks._portrait import painted_over

sys.path.insert(0, str(Path(__file__).parent))
from _toys import stylegan_folder

TEXT = "a red cat"
METHODS = ("stylegan", "mapper", "direction")
every = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("styled") / "model", (6, 5, 4))


@pytest.fixture(scope="module")
def models(styled: Path, clip_folder: Path, tmp_path_factory: Any) -> dict[str, Path]:
    """What each method is given: a generator, a mapper for TEXT, directions."""
    folder = tmp_path_factory.mktemp("made")
    model, clip = open_stylegan(styled), open_clip(clip_folder)
    torch.manual_seed(2)
    mapper = Mapper(model.layers, model.width)
    with torch.no_grad():
        for weight in mapper.parameters():
            weight.mul_(2)
    write_mapper(folder / "mapper", mapper, TEXT, model)
    count = len(_channels.channels(model.network.shape))
    table = Noise(3, [0]).normal((count, 16))[0] / 8
    deviation = _channels.deviations(model, 100)
    write_directions(folder / "directions", model, deviation, [table], [clip])
    return {"stylegan": styled, "mapper": folder / "mapper", "direction": folder / "directions"}


@pytest.fixture
def face(styled: Path, tmp_path: Path) -> Path:
    """A picture of the generator's own, enlarged, with a margin above and below."""
    generator = stylegan(open_stylegan(styled))
    own = resize(generator.render(generator.start(Noise(5, [0]))).detach(), (32, 32)).clamp(0, 1)
    whole = torch.nn.functional.pad(own, (0, 0, 4, 4), mode="replicate")
    return Picture(whole[0]).save(tmp_path / "face.png")


@pytest.fixture
def edited(models: dict[str, Path], clip_folder: Path, face: Path) -> Any:
    def run(method: str, text: str = TEXT, **options: Any) -> Any:
        small: dict[str, Any] = {"model": models[method], "steps": 5}
        if method == "stylegan":
            small |= {"clip": str(clip_folder), "views": 2}
        return edit(face, text, method=method, **(small | options))

    return run


@every
def test_the_middle_square_changes_and_nothing_else(edited: Any, face: Path, method: str) -> None:
    found, before = edited(method, strength=0.9), load(face).uint8()
    after = found.picture.uint8()
    assert (after[4:36] != before[4:36]).any()
    assert (after[:4] == before[:4]).all() and (after[36:] == before[36:]).all()
    assert not found.layer[:4].any() and not found.layer[36:].any()


@every
def test_they_come_again_from_their_recipes(edited: Any, tmp_path: Path, method: str) -> None:
    path = edited(method, strength=0.7).picture.save(tmp_path / "out.png")
    assert replay(path).identical


@every
def test_more_strength_changes_more(edited: Any, face: Path, method: str) -> None:
    before = load(face).pixels
    little, much = (
        float((edited(method, strength=s, steps=30).picture.pixels - before).abs().mean())
        for s in (0.02, 1.0)
    )
    assert little < 0.5 * much


@pytest.mark.parametrize(("method", "total"), [("stylegan", 10), ("mapper", 5), ("direction", 10)])
def test_each_step_is_told(edited: Any, method: str, total: int) -> None:
    seen: list[Any] = []
    edited(method, watch=seen.append)
    assert {each.total for each in seen} == {total} and seen[-1].step == total
    steps = [each.step for each in seen]
    assert steps == sorted(steps) and len(seen) >= 5
    assert seen[0].preview()[0].pixels.shape == (3, 40, 32)
    assert seen[-1].preview()[0].pixels.shape == (3, 40, 32)


def test_the_search_comes_nearer_to_the_words(
    styled: Path, clip_folder: Path, monkeypatch: Any
) -> None:
    """From a picture of the generator's own, seen whole: cos to the text rises; and the stronger
    the way's weight, the shorter the way."""
    model, clip = open_stylegan(styled), open_clip(clip_folder)
    generator = stylegan(model)
    start = generator.start(Noise(3, [0]))
    monkeypatch.setattr(_edit_stylegan, "found", lambda *_: start)
    monkeypatch.setattr(_edit_stylegan, "identities", lambda model: None)
    ends: list[torch.Tensor] = []
    painted = lambda order, before, after: ends.append(after) or order.picture  # noqa: E731
    monkeypatch.setattr(_edit_stylegan, "painted_over", painted)
    order = Order(torch.zeros(1, 3, 16, 16), None, TEXT, None, 1.0, 40, 4, 0, [clip], model)
    for strength in (1.0, 0.3, 0.02):
        _edit_stylegan.edit(replace(order, strength=strength), lambda step, preview: None)
    before = generator.render(start)
    words = clip.embed_texts([TEXT])[0]
    agreement = [float(clip.embed_pictures(each)[0] @ words) for each in (before, *ends)]
    assert agreement[1] > agreement[0] + 0.01
    moved = [float((each - before).abs().mean()) for each in ends]
    assert moved[0] > moved[1] > 2 * moved[2]


def test_a_face_is_kept_by_the_network_that_knows_faces(
    edited: Any, styled: Path, face: Path, monkeypatch: Any
) -> None:
    """Where there is one, its judge is asked about what the generator painted before."""

    class Same:
        def __init__(self, reference: torch.Tensor) -> None:
            self.reference = reference

        def losses(self, pictures: torch.Tensor, noise: Noise, step: int) -> Any:
            yield 1e3 * (pictures - self.reference).square().flatten(1).mean(1)

    monkeypatch.setattr(_edit_stylegan, "identities", lambda model: None)
    free = edited("stylegan", strength=1.0, steps=20).picture.pixels
    monkeypatch.setattr(_edit_stylegan, "identities", lambda model: Same)
    kept = edited("stylegan", strength=1.0, steps=20).picture.pixels
    own = load(face).pixels
    assert (kept - own).abs().mean() < 0.5 * (free - own).abs().mean()


def test_only_the_faces_that_it_knows_are_told_apart(styled: Path) -> None:
    model = open_stylegan(styled)
    assert model.world is None and _portrait.identities(model) is None
    assert _portrait.identities(replace(model, world="faces")) is not None


def test_without_that_network_nothing_is_asked(styled: Path, monkeypatch: Any) -> None:
    def missing(part: str) -> Path:
        raise BadInput(f"no {part}")

    monkeypatch.setattr(_portrait, "folder", missing)
    assert _portrait.identities(replace(open_stylegan(styled), world="faces")) is None


def test_a_mapper_s_change_by_hand(models: dict[str, Path], edited: Any, face: Path) -> None:
    """w+ + 2·strength·σ·M(w+), by the parts themselves."""
    mapper = open_mapper(models["mapper"])
    generator = stylegan(mapper.generator)
    square = resize(load(face).pixels[None, :, 4:36], (16, 16))
    found = generator.invert(square, steps=5)
    change = mapper.network(found["w+"]) * mapper.generator.w_std
    before = generator.render(found)
    after = generator.render(found | {"w+": found["w+"] + 1.4 * change})
    order = Order(load(face).pixels[None], None, TEXT, None, 0.7, 5, 1, 0, [], mapper)
    wanted = painted_over(order, before, after)
    layer = edited("mapper", strength=0.7).layer
    levels = (wanted[0] * 255).round().permute(1, 2, 0)
    opaque = levels[..., 3] > 0
    assert opaque.any()
    assert (torch.from_numpy(layer).float()[opaque] - levels[opaque]).abs().max() <= 1


def test_a_direction_by_hand(
    models: dict[str, Path], clip_folder: Path, face: Path, monkeypatch: Any
) -> None:
    """styles + 10·strength·Δs, Δs of the channels nearest to the texts' difference."""
    directions = _edit_direction.open_directions(models["direction"])
    clip = open_clip(clip_folder)
    ends: list[torch.Tensor] = []

    def painted(order: Order, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        ends.extend([before, after])
        return painted_over(order, before, after)

    monkeypatch.setattr(_edit_direction, "painted_over", painted)
    picture = load(face).pixels[None]
    order = Order(picture, None, TEXT, "a dog", 0.4, 5, 0, 0, [clip], directions, 0.1)
    _edit_direction.edit(order, lambda step, preview: None)

    means = [clip.embed_texts(fill(TEMPLATES, text)).mean(0) for text in ("a dog", TEXT)]
    source, target = (mean / mean.norm() for mean in means)
    axis = (target - source) / (target - source).norm()
    relevance = directions.changes[0] @ axis
    places = _channels.channels(directions.generator.network.shape)
    generator = stylegan(directions.generator)
    square = resize(picture[:, :, 4:36], (16, 16))
    w_plus = generator.invert(square, steps=5)["w+"]
    styles = directions.generator.styles(w_plus)
    moved = styles.clone()
    for place, each in zip(places.tolist(), relevance.tolist()):
        if abs(each) >= 0.1:
            moved[0, place] += 4 * each / relevance.abs().max() * directions.deviation[place]
    still = torch.zeros(1, directions.generator.noise)
    for end, own in zip(ends, (styles, moved)):
        wanted = directions.generator.synthesis_from_styles(own, still).clamp(0, 1)
        torch.testing.assert_close(end, wanted, atol=1e-5, rtol=1e-4)
    assert (ends[0] - ends[1]).abs().max() > 0.01


def test_directions_are_measured_where_none_are_given(
    edited: Any, styled: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """As the recipe measures them, when it sees as many pictures."""
    model, clip = open_stylegan(styled), open_clip(clip_folder)
    some = _channels.channels(model.network.shape).tolist()
    styles, deviation = _channels.samples(model, 16), _channels.deviations(model)
    tables = _channels.changes(model, [clip], styles, deviation, some)
    write_directions(tmp_path / "measured", model, deviation, tables, [clip])
    seen: list[int] = []
    watch = lambda each: seen.append(each.step)  # noqa: E731
    options = dict(clip=str(clip_folder), source="a dog", strength=0.8)
    found = edited("direction", model=styled, watch=watch, **options)
    same = edited("direction", model=tmp_path / "measured", source="a dog", strength=0.8)
    assert (found.layer == same.layer).all() and found.layer.any()
    assert seen == sorted(seen) and seen[-6:] == [5, 6, 7, 8, 9, 10] and len(seen) == len(some) + 5
    path = found.picture.save(tmp_path / "out.png")
    assert replay(path).identical


def test_what_the_generator_cannot_paint_of_a_picture_is_carried_over() -> None:
    """A little lighter: the picture is that much lighter, with all its detail; much darker: what is
    there is the generator's."""
    picture = Noise(1, [0]).uniform((3, 48, 48)).mul(0.5).add(0.2)
    order = Order(picture, None, "a", None, 0.5, 1, 1, 0, [], None)
    before = torch.full((1, 3, 24, 24), 0.6)
    layer = painted_over(order, before, before + 0.08)
    torch.testing.assert_close(layer[:, :3], picture + 0.08)
    torch.testing.assert_close(layer[:, 3:], torch.ones(1, 1, 48, 48))
    layer = painted_over(order, before, before - 0.5)
    torch.testing.assert_close(layer[:, :3], torch.full_like(picture, 0.1))


def test_a_layer_is_opaque_where_something_changed() -> None:
    picture = Noise(1, [0]).uniform((3, 48, 64))
    order = Order(picture, None, "a", None, 0.5, 1, 1, 0, [], None)
    before = Noise(2, [0]).uniform((3, 24, 24))
    assert not painted_over(order, before, before)[:, 3].any()
    after = before.clone()
    after[:, :, :, 12:] = 1 - after[:, :, :, 12:].round()
    layer = painted_over(order, before, after)
    assert layer.shape == (1, 4, 48, 64)
    assert not layer[0, 3, :, :26].any(), "beside the square, and where nothing changed"
    assert layer[0, 3, :, 38:56].min() > 0.999 and not layer[0, 3, :, 56:].any()
    wanted = resize(after, (48, 48))[0, :, :, 30:]
    torch.testing.assert_close(layer[0, :3, :, 38:56], wanted.clamp(0, 1))


@pytest.mark.parametrize(
    ("method", "options", "reason"),
    [
        ("mapper", dict(text="a dog"), "was trained for 'a red cat', not for 'a dog'"),
        ("mapper", dict(clip="embedded"), "the method mapper takes no clip"),
        ("mapper", dict(model=None), "no mapper is named"),
        ("mapper", dict(model="nowhere"), "no model at 'nowhere'"),
        ("stylegan", dict(source="a cat"), "the method stylegan takes no source"),
        ("stylegan", dict(threshold=0.2), "the method stylegan takes no threshold"),
        ("direction", dict(views=3), "the method direction takes no views"),
        ("direction", dict(threshold=1.5), "threshold 1.5: give a number from 0 to 1"),
        ("direction", dict(threshold=1.0), "no channel has a relevance of 1.0 or more"),
        ("direction", dict(clip="embedded"), "were measured by other CLIPs"),
    ],
)
def test_what_they_refuse(edited: Any, method: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as raised:
        edited(method, **options)
    assert "\n" not in str(raised.value)
