"""The measure of edited portraits: toys of which everything is known, and limner's own edits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from limner import edit as task
from limner.errors import BadInput
from limner.measures import _styleclip
from limner.measures._asked import ASKED, Portrait, without
from limner.measures.portraits import METHODS, portraits
from limner.models import _channels
from limner.models._resnet import ResNet
from limner.models.clip import open_clip
from limner.models.directions import write as write_directions
from limner.models.faces import Attributes, Identity
from limner.models.mapper import write as write_mapper
from limner.models.stylegan import open_stylegan
from limner.nets.mapper import Mapper
from limner.noise import Noise
from limner.picture import from_uint8, load
from limner.worlds._faces_truths import TRUTHS
from limner.worlds.faces import World

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder

NAMES = tuple(TRUTHS)
MIDDLE = (0.5,) * 3


class Read(nn.Module):
    """Reads answers off the picture itself: that of attribute i in a block of 4 × 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, pictures: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=pictures[:, 0, 2, 2 : 4 * len(NAMES) : 4])


class Middle(nn.Module):
    """An embedding (2,) from the middle pixel: right of the picture's left half, or wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, pictures: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=pictures[:, :2, 64, 64])


def toy(network: nn.Module, labels: Sequence[str]) -> ResNet:
    return ResNet("toy", network, tuple(labels), 128, MIDDLE, MIDDLE, "MIT", ())


READ, WHO = Attributes(toy(Read(), NAMES)), Identity(toy(Middle(), ["a", "b"]))


def written(picture: np.ndarray, answers: dict[str, bool | None]) -> np.ndarray:
    """The picture with answers for Read in it."""
    out = picture.copy()
    for i, name in enumerate(NAMES):
        out[:4, 4 * i : 4 * i + 4] = 255 if answers[name] else 0
    return out


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world writes its truths into its pictures, and red into their middle."""
    real = World.draw

    def draw(self: World, indices: Sequence[int], **options: Any) -> Any:
        from limner.worlds._faces_truths import truths

        drawn = real(self, indices, **options)
        for row, face in enumerate(drawn.faces):
            drawn.pictures[row] = written(drawn.pictures[row], truths(face))
            drawn.pictures[row, 64, 64] = (255, 127, 127)
        return drawn

    monkeypatch.setattr(World, "draw", draw)


def test_the_table_names_truths_and_no_attribute_is_its_own() -> None:
    assert len(ASKED) == 8
    for name, ask in ASKED.items():
        assert {name, *ask.of, *ask.entangled} <= set(TRUTHS)
        assert name not in ask.entangled and name not in ask.of
        assert not set(ask.of) & set(ask.entangled)


def test_faces_are_unseen_ones_without_the_attribute() -> None:
    from limner.worlds._faces_truths import truths
    from limner.worlds.faces import held_out

    world = World(1, split="held_out", aligned=1)
    found = without(world, ("smile", "beard", "blonde hair"), 12)
    for name, some in found.items():
        assert len({each.number for each in some}) == 12
        first = [each.number for each in some]
        assert first == sorted(first)
        for each in some:
            face = world.face(each.number)
            assert held_out(face) and truths(face)[name] is False
            assert (each.picture == world.draw([each.number]).pictures[0]).all()
    assert all(world.face(each.number).presentation == "masculine" for each in found["beard"])
    assert all(world.face(each.number).hair != "bald" for each in found["blonde hair"])
    shared = {each.number for some in found.values() for each in some}
    assert len(shared) < 36, "the same faces are asked for several attributes"


def test_shares_by_hand(told: None, tmp_path: Path) -> None:
    """Of eight faces: the mapper gives every other what is asked, takes the hat off those that wear
    one and puts one on the others; and makes somebody else of a fourth of them."""
    faces = without(World(1, split="held_out", aligned=1), ("smile",), 8)["smile"]

    def edit(method: str, name: str, some: Sequence[Portrait]) -> np.ndarray:
        out = []
        for each in some:
            place = [face.number for face in faces].index(each.number)
            if method == "direction":
                out.append(each.picture)
                continue
            now = each.truths | {"smile": place % 2 == 0, "hat": not each.truths["hat"]}
            picture = written(each.picture, now | {"sad": True, "surprised": True})
            if place % 4 == 0:
                picture[64, 64] = (127, 255, 127)  # at a right angle
            out.append(picture)
        return np.stack(out)

    steps: list[tuple[int, int]] = []
    found = portraits(
        edit, methods=("mapper", "direction"), asked=("smile",), count=8, at_once=3,
        attributes=READ, identity=WHO, folder=tmp_path / "kept",
        watch=lambda *done: steps.append(done),
    )  # fmt: skip
    answers = [
        sum(value is not None for name, value in face.truths.items())
        - 3  # smile is asked for; sad and surprised are entangled with it
        for face in faces
    ]
    mapper, direction = (found.figures(each, "smile") for each in ("mapper", "direction"))
    assert (mapper.there.right, mapper.there.n, mapper.before.right) == (4, 8, 0)
    assert (mapper.kept.right, mapper.kept.n) == (sum(answers) - 8, sum(answers))
    assert mapper.identity == pytest.approx(0.75, abs=0.01)
    assert mapper.identity_error == pytest.approx((0.1875 * 8 / 7 / 8) ** 0.5, rel=0.02)
    assert (direction.there.right, direction.kept.value) == (0, 1.0)
    assert direction.identity == pytest.approx(1)
    others = found.others("mapper")
    assert others["hat"].right == 0 and others["hat"].n == 8 and others["old"].value == 1
    assert not {"smile", "sad", "surprised"} & set(others)
    assert found.figures("mapper") == mapper and found.inverted is None
    assert steps == [(3, 16), (6, 16), (8, 16), (11, 16), (14, 16), (16, 16)]
    said = json.loads(json.dumps(found.told()))
    assert said["methods"]["mapper"]["asked"]["smile"]["there"]["right"] == 4
    assert said["edits"][1]["lost"] == ["hat"] and said["edits"][1]["face"] == faces[1].number
    assert load(tmp_path / "kept" / "smile.png").pixels.shape[1] > 3 * 128

    def never(*_: object) -> np.ndarray:
        raise AssertionError("all is kept")

    again = portraits(
        never, methods=("mapper", "direction"), asked=("smile",), count=8, attributes=READ,
        identity=WHO, folder=tmp_path / "kept",
    )  # fmt: skip
    assert again.edits == found.edits and again.seconds("mapper") is None
    assert found.seconds("mapper") is not None
    with pytest.raises(BadInput, match="holds pictures by"):
        portraits(never, seed=2, attributes=READ, identity=WHO, folder=tmp_path / "kept")


def test_what_cannot_be_told_is_not_counted(told: None) -> None:
    """Under a hat hair has no truth: whatever is said of it, nothing is lost."""
    faces = without(World(1, split="held_out", aligned=1), ("glasses",), 30)["glasses"]
    hatted = [each.number for each in faces if each.truths["hat"]]
    assert hatted

    def edit(method: str, name: str, some: Sequence[Portrait]) -> np.ndarray:
        rows = [
            written(each.picture, each.truths | dict.fromkeys(("curly hair", "sunglasses"), True))
            for each in some
        ]
        return np.stack(rows)

    found = portraits(
        edit, methods=("stylegan",), asked=("glasses",), count=30, attributes=READ, identity=WHO
    )
    for each, face in zip(found.edits, faces, strict=True):
        told = face.truths["curly hair"]
        assert each.kept.get("curly hair") == (None if told is None else told is True)
        assert "sunglasses" not in each.kept
    assert all("curly hair" not in each.kept for each in found.edits if each.face in hatted)


# ---- limner's own edits --------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(clip_folder: Path, tmp_path_factory: Any) -> dict[str, Path]:
    """A generator, and in one folder mappers for two attributes, and directions, all for it."""
    folder = tmp_path_factory.mktemp("own")
    generator = stylegan_folder(folder / "generator", (6, 5, 4))
    model, clip = open_stylegan(generator), open_clip(clip_folder)
    for i, (name, inner) in enumerate((("smile", "model"), ("blonde hair", "."))):
        torch.manual_seed(i)
        network = Mapper(model.layers, model.width)
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(2)
        place = folder / "mappers" / name.replace(" ", "-") / inner
        place.parent.mkdir(parents=True, exist_ok=True)
        write_mapper(place, network, ASKED[name].text, model)
    count = len(_channels.channels(model.network.shape))
    table = Noise(3, [0]).normal((count, 16))[0] / 8
    write_directions(
        folder / "directions", model, _channels.deviations(model, 100), [table], [clip]
    )
    return {name: folder / name for name in ("generator", "mappers", "directions")}


@pytest.fixture
def how(own: dict[str, Path], clip_folder: Path) -> dict[str, Any]:
    return dict(
        model=own["generator"], mappers=own["mappers"], directions=own["directions"],
        clip=str(clip_folder), attributes=READ, identity=WHO, count=3, steps=4, views=2,
        inversion_steps=4, at_once=2, asked=("smile", "blonde hair"), strength=0.9,
    )  # fmt: skip


def test_edits_are_those_of_limner_edit(
    how: dict[str, Any], own: dict[str, Path], clip_folder: Path, tmp_path: Path
) -> None:
    """One by one, from a file, with its own steps of inversion."""
    found = portraits(**how | {"inversion_steps": None}, folder=tmp_path / "kept")
    faces = without(World(1, split="held_out", aligned=1), how["asked"], 3)
    given = {
        "stylegan": dict(model=own["generator"], clip=str(clip_folder), views=2, steps=4),
        "mapper": dict(model=own["mappers"] / "smile" / "model"),
        "direction": dict(model=own["directions"], source="a person"),
    }
    for method in METHODS:
        pictures = sorted((tmp_path / "kept" / method / "smile").glob("*.png"))
        assert len(pictures) == 3
        for place, face in zip(pictures, faces["smile"], strict=True):
            before = from_uint8(face.picture).save(tmp_path / "face.png")
            wanted = task(before, "a smiling person", method=method, strength=0.9, **given[method])
            after = load(place).uint8().astype(int)
            apart = np.abs(after - wanted.picture.uint8())
            assert apart.max() <= 1 and (after != face.picture).any(), method
    assert {each.method for each in found.edits} == set(METHODS) and len(found.edits) == 18
    numbers = {each.number for some in faces.values() for each in some}
    assert found.inverted is not None and len(found.inverted.psnr) == len(numbers)


def test_each_face_is_inverted_once_and_what_is_kept_is_not_made_again(
    how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = _styleclip.StyleClip.edit

    def edit(self: Any, method: str, name: str, some: Sequence[Portrait]) -> np.ndarray:
        calls.append(method)
        if calls.count("direction") == 2 and len(calls) < 20:
            raise KeyboardInterrupt
        return real(self, method, name, some)

    monkeypatch.setattr(_styleclip.StyleClip, "edit", edit)
    watched: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        portraits(**how, folder=tmp_path / "kept")
    calls += ["direction"] * 20
    found = portraits(**how, folder=tmp_path / "kept", watch=lambda *done: watched.append(done))
    assert calls[26:] == ["direction", *[each for each in METHODS for _ in range(2)]]
    assert found.inverted is not None and found.inverted.seconds is None, "latents are kept"
    assert watched[-1] == (18 + len(found.inverted.psnr),) * 2
    straight = portraits(**how)
    assert straight.inverted is not None and straight.inverted.seconds is not None
    assert [replace(each, cosine=0) for each in straight.edits] == [
        replace(each, cosine=0) for each in found.edits
    ]
    with pytest.raises(BadInput, match="holds pictures by"):
        portraits(**how | dict(strength=0.5), folder=tmp_path / "kept")


def test_the_inversion_alone(how: dict[str, Any]) -> None:
    """Decibels of what the generator paints, at its size."""
    from limner.generators.stylegan import stylegan
    from limner.picture import psnr, resize

    faces = without(World(1, split="held_out", aligned=1), ("smile",), 3)["smile"]
    found = portraits(**how | dict(asked=("smile",), methods=("mapper",)))
    pixels = torch.from_numpy(np.stack([each.picture for each in faces])).permute(0, 3, 1, 2) / 255
    target = resize(pixels, (16, 16))
    generator = stylegan(open_stylegan(how["model"]))
    shown = generator.render(generator.invert(target, steps=4))
    assert found.inverted is not None
    wanted = [psnr(a, b) for a, b in zip(shown, target)]
    assert found.inverted.psnr == pytest.approx(wanted, abs=0.01)
    assert found.inverted.told()["n"] == 3


@pytest.mark.parametrize(
    "wrong, match",
    [
        (dict(methods=("sdedit",)), "choose of stylegan, mapper, direction"),
        (dict(methods=()), "choose of stylegan, mapper, direction"),
        (dict(asked=("wit",)), "choose of smile, glasses"),
        (dict(asked=("smile", "smile")), "each once"),
        (dict(count=0), "count 0"),
        (dict(at_once=0), "at_once 0"),
        (dict(steps=0), "steps 0"),
        (dict(inversion_steps=0), "inversion_steps 0"),
        (dict(strength=1.5), "strength 1.5 of 'stylegan'"),
        (dict(strength={"layer": 0.5}), "strength 0.5 of 'layer'"),
        (dict(model="/nowhere"), "no model at"),
        (dict(mappers=None), "no mapper for 'smile': limner train mapper 'a smiling person' makes"),
        (dict(mappers={"smile": "/nowhere"}), "no model at"),
        (dict(asked=("smile", "hat")), "no mapper for 'hat' in .*/mappers'"),
        (dict(directions="/nowhere"), "no model at"),
        (dict(attributes="/nowhere"), "no model at"),
        (dict(identity="/nowhere"), "no model at"),
        (dict(attributes=Attributes(toy(Read(), ["hat"]))), "does not know smile, blonde hair"),
    ],
)
def test_refuses(wrong: dict[str, Any], match: str, how: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=match) as raised:
        portraits(**how | wrong)
    assert "\n" not in str(raised.value)


def test_networks_of_another_text_or_generator(
    how: dict[str, Any], own: dict[str, Path], tmp_path: Path
) -> None:
    swapped = {
        "smile": own["mappers"] / "blonde-hair",
        "blonde hair": own["mappers"] / "blonde-hair",
    }
    with pytest.raises(BadInput, match="'a person with blonde hair', and smile is asked for as"):
        portraits(**how | dict(mappers=swapped))
    with pytest.raises(BadInput, match="holds no directions"):
        portraits(**how | dict(directions=own["generator"]))
    other = stylegan_folder(tmp_path / "other", (5, 5, 4))
    for method in ("mapper", "direction"):
        with pytest.raises(BadInput, match="was made for the generator"):
            portraits(**how | dict(model=other, methods=(method,)))


def test_directions_by_a_clip_that_is_another_now(
    how: dict[str, Any], own: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(own["directions"], tmp_path / "directions")
    place = tmp_path / "directions" / "config.json"
    said = json.loads(place.read_text())
    said["clips"][0]["fingerprint"] = "another"
    place.write_text(json.dumps(said))
    with pytest.raises(BadInput, match="measure them anew"):
        portraits(**how | dict(directions=tmp_path / "directions", methods=("direction",)))


def test_on_the_command_line(
    run: Callable[..., tuple[int, str, str]],
    own: dict[str, Path],
    clip_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from limner.measures import portraits as room

    real = room.portraits

    def known(**said: Any) -> Any:
        return real(**said | dict(attributes=READ, identity=WHO))

    monkeypatch.setattr(room, "portraits", known)
    said = (
        "measure", "portraits", "--model", own["generator"], "--directions", own["directions"],
        "--clip", clip_folder, "--count", 2, "--steps", 2, "--views", 1, "--inversion-steps", 2,
        "--asked", "smile",
    )  # fmt: skip
    mapper = ("--mapper", f"smile={own['mappers'] / 'smile' / 'model'}")
    status, out, err = run(*said, *mapper, "-o", "kept", "--strength", "stylegan=0.7")
    assert (status, err) == (0, "")
    lines = [line.split()[0].rstrip(",") for line in out.splitlines()]
    assert lines == ["inverted", "stylegan", "smile", "in", "mapper", "smile", "in", "direction",
                     "smile", "in"]  # fmt: skip
    assert Path("kept/smile.png").is_file()
    status, out, _ = run(*said, "--mapper", own["mappers"], "--json")
    told = json.loads(out)
    assert status == 0 and told["methods"]["mapper"]["all"]["there"]["n"] == 2
    assert told["inverted"]["n"] == 2
    for wrong, match in (
        (("--mapper", "x=y"), "no mapper for 'smile' in 'x=y'"),
        ((*mapper, *mapper), "each attribute once"),
        (("--strength", "direction=much"), "give METHOD=NUMBER"),
        (("--methods", "mapper"), "no mapper for 'smile'"),
    ):
        status, _, err = run(*said, *wrong)
        assert status == 2 and match in " ".join(err.split()) and err.count("\n") == 1
    said_help = " ".join(run("measure", "portraits", "--help")[1].split())
    assert "Example: limner measure portraits" in said_help
