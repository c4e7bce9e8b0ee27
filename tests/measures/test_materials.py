"""Materials on held-out scenes, edited by who draws them, who does nothing, and who spoils all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner import edit
from limner.errors import BadInput
from limner.measures import materials as room
from limner.measures._eye import Eye
from limner.measures.materials import MATERIALS, materials
from limner.picture import from_uint8, load
from limner.tasks._editing import laid_over
from limner.tasks.edit import Edited
from limner.worlds import _sprites
from limner.worlds.scenes import Scene, World, canonical

pytestmark = pytest.mark.skipif(_sprites.find_font() is None, reason="needs Noto Color Emoji")


@pytest.fixture(scope="module", autouse=True)
def one_eye() -> Iterator[None]:
    """Its templates take a second to draw."""
    eye = Eye()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "Eye", lambda: eye)
        yield


def drawn(asked: room.Asked, number: int) -> np.ndarray:
    """The same picture with the object in the material: the sprite in the object's own place."""
    world = World(77, split="held_out")
    rng = np.random.Generator(np.random.Philox(key=[77, number]))
    scene = world.scene(rng)
    assert scene == asked.scene
    rng = np.random.Generator(np.random.Philox(key=[77, number]))
    world.scene(rng)
    from limner.worlds._captions import phrasings

    phrasings(scene, rng)
    return world.paint(asked.wanted, rng)[0]


def layered(picture: np.ndarray, wanted: np.ndarray) -> Edited:
    alpha = 255 * (picture != wanted).any(2, keepdims=True)
    layer = np.concatenate([wanted * (alpha > 0), alpha], 2).astype(np.uint8)
    return Edited(from_uint8(laid_over(layer, picture)), layer)


def truth(count: int) -> dict[str, np.ndarray]:
    """text → the world's own picture of it in the same place."""
    world, out, number = World(77, split="held_out"), {}, 0
    for asked in room._scenes(count):
        while not np.array_equal(world.draw([number]).pictures[0], asked.picture):
            number += 1
        out[asked.text] = drawn(asked, number)
        number += 1
    return out


def test_scenes_are_of_one_bare_thing_and_the_materials_take_turns() -> None:
    scenes = list(room._scenes(12))
    assert [each.material for each in scenes] == [*MATERIALS, *MATERIALS, *MATERIALS[:2]]
    for each in scenes:
        (thing,) = each.scene.things
        assert each.scene.count == 1 and thing.material is None and each.scene.style is None
        assert each.mask.any() and not each.mask.all()
        (wanted,) = each.wanted.things
        assert (wanted.noun, wanted.material) == (thing.noun, each.material)
        assert each.wanted.background == each.scene.background
        assert canonical(Scene((wanted,))).split()[-1] == each.text.split()[-1]
    assert len({id(each.picture) for each in scenes}) == 12


def test_who_draws_the_material_is_found_and_who_does_nothing_is_not() -> None:
    wanted = truth(5)

    def draws(picture: Path, text: str) -> Edited:
        return layered(load(picture).uint8(), wanted[text])

    found = materials(draws, count=5)
    assert found.found.right >= 4 and found.true.right >= 4 and found.exact.right == 5
    assert found.outside < 0.01 < found.inside and found.before.right == 0
    assert sum(share.n for share in found.kinds.values()) == 5 and found.seconds is not None

    def nothing(picture: Path, text: str) -> Edited:
        return layered(load(picture).uint8(), load(picture).uint8())

    found = materials(nothing, count=2)
    assert (found.found.right, found.outside, found.inside, found.exact.right) == (0, 0, 0, 2)


def test_what_is_outside_and_an_untrue_layer_are_seen() -> None:
    masks = {each.text: each.mask for each in room._scenes(2)}

    def spoils(picture: Path, text: str) -> Edited:
        before = load(picture).uint8()
        after = np.where(masks[text][..., None], before, before ^ np.uint8(64))
        made = layered(before, after)
        return Edited(made.picture, np.zeros_like(made.layer))

    found = materials(spoils, count=2)
    assert found.outside == pytest.approx(64 / 255) and found.inside == 0
    assert found.exact.right == 0


def test_edits_are_kept_and_not_made_again(tmp_path: Path) -> None:
    made: list[str] = []

    def nothing(picture: Path, text: str) -> Edited:
        made.append(text)
        return layered(load(picture).uint8(), load(picture).uint8())

    watched: list[tuple[int, int]] = []
    first = materials(nothing, count=1, folder=tmp_path)
    again = materials(nothing, count=2, folder=tmp_path, watch=lambda *step: watched.append(step))
    assert len(made) == 2 and watched == [(1, 2), (2, 2)]
    assert again.looked[0] == first.looked[0]
    assert materials(nothing, count=2, folder=tmp_path).seconds is None
    assert len(list(tmp_path.glob("*.png"))) == 6
    with pytest.raises(BadInput, match="give another"):
        materials(nothing, count=1, seed=1, folder=tmp_path)
    given = next(tmp_path.glob("*-given.png"))
    from_uint8(np.zeros((128, 128, 3), np.uint8)).save(given)
    with pytest.raises(BadInput, match="not this world's picture"):
        materials(nothing, count=2, folder=tmp_path)


def test_limner_s_own_edit_is_exact(clip_folder: Path, tmp_path: Path) -> None:
    found = materials(count=1, clip=str(clip_folder), steps=2, views=1, folder=tmp_path)
    assert found.clips == (str(clip_folder),) and found.exact.right == 1
    (kept,) = (f for f in tmp_path.glob("*.png") if not f.stem.endswith(("-given", "-layer")))
    given = kept.with_name(f"{kept.stem}-given.png")
    own = edit(given, found.looked[0].text, clip=str(clip_folder), steps=2, views=1)
    assert np.array_equal(load(kept).uint8(), own.picture.uint8())


def test_bad_input(clip_folder: Path) -> None:
    given: dict[str, Any]
    for given, message in (
        ({"count": 0}, "count 0"),
        ({"steps": 0}, "steps 0"),
        ({"views": 0}, "views 0"),
        ({"clip": "./nowhere"}, "no model at"),
        ({"count": 1, "clip": str(clip_folder), "strength": 2.0}, "strength 2"),
    ):
        with pytest.raises(BadInput, match=message):
            materials(**given)
