"""The world scenes: the same picture always, and its truth is what the pixels show."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from limner.errors import BadInput
from limner.worlds import _sprites
from limner.worlds import _vocabulary as words
from limner.worlds._captions import Scene, Thing, canonical, held_out, phrasings
from limner.worlds.scenes import World

WORLD = World(seed=3)
BATCH = WORLD.draw(range(240), annotate=True)


def test_a_picture_is_the_same_in_any_batch_and_order():
    other = World(seed=3).draw([17, 5, 239])
    for row, index in enumerate([17, 5, 239]):
        assert np.array_equal(other.pictures[row], BATCH.pictures[index])
        assert other.captions[row] == BATCH.captions[index]


def psnr(a, b):
    error = np.mean((a.astype(float) - b) ** 2)
    return -10 * np.log10(error / 255**2)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_larger_scale_draws_the_same_scenes_finer(scale):
    """Made small it is what is drawn at scale 1; enlarged from that, it would not be as fine."""
    world, side = World(seed=3, scale=scale), 128 * scale
    large = world.draw(range(24), annotate=True)
    assert large.captions == BATCH.captions[:24] and large.scenes == BATCH.scenes[:24]
    assert large.pictures.shape == (24, side, side, 3)
    near = []
    for row, scene in enumerate(large.scenes):
        image = Image.fromarray(large.pictures[row])
        small = image.resize((128, 128), Image.Resampling.BOX)
        blurred = small.resize((side, side), Image.Resampling.LANCZOS)
        assert psnr(large.pictures[row], np.asarray(blurred)) < 44
        near.append(psnr(BATCH.pictures[row], np.asarray(small)) if not scene.style else 99)
        apart = np.abs(large.boxes[row] / scale - BATCH.boxes[row]).max()
        assert apart <= 1.5 or len(scene.things) > 1  # of what is behind, edges are not seen
        here = large.masks[row][:, ::scale, ::scale]
        assert (here != BATCH.masks[row]).mean() < 0.02
        assert (large.maps[row][large.masks[row].any(0)] > 0).all()
    assert min(near) > 34 and np.mean(np.minimum(near, 50)) > 38
    assert np.array_equal(World(seed=3, scale=scale).draw([5]).pictures[0], large.pictures[5])


@pytest.mark.parametrize("style", words.STYLES)
def test_styles_are_the_same_at_any_scale(style):
    scene = Scene((Thing("cat"),), None, 1, "city", style)
    pictures = [
        Image.fromarray(World(0, scale=scale).paint(scene, np.random.default_rng(1))[0])
        for scale in (1, 4)
    ]
    small, made = (np.asarray(each.resize((64, 64), Image.Resampling.BOX)) for each in pictures)
    assert psnr(small, made) > 27, style


def test_another_scale_is_refused():
    with pytest.raises(BadInput, match="scale 3: give 1, 2 or 4"):
        World(0, scale=3)


def test_twins_differ_from_their_first_in_one_thing_alone():
    world = World(seed=3, twins=4)
    batch = world.draw(range(400))
    nouns = 0
    for first in range(0, 400, 4):
        base, *others = (batch.scenes[first + k] for k in range(4))
        for twin in others:
            assert not held_out(twin)
            things = [a for a, b in zip(twin.things, base.things) if a != b]
            changed = [key for key in ("relation", "count", "background") if
                       getattr(twin, key) != getattr(base, key)]  # fmt: skip
            assert not changed and len(things) + (twin.style != base.style) == 1
            nouns += [t.noun for t in twin.things] != [t.noun for t in base.things]
    assert 180 < nouns < 240  # 70% of 300
    assert world.draw([0]).scenes == World(seed=3).draw([0]).scenes
    assert np.array_equal(world.draw([4]).pictures[0], BATCH.pictures[1])
    with pytest.raises(BadInput, match="twins 0: give 1"):
        World(twins=0)


def test_as_many_scenes_are_dressed_as_asked():
    def share(dressed):
        scenes = World(seed=3, dressed=dressed).draw(range(400)).scenes
        return np.mean([bool(s.style or any(t.material for t in s.things)) for s in scenes])

    own = share(0.0)
    assert 0.1 < own < 0.25
    assert abs(share(0.5) - (own + 0.5 * (1 - own))) < 0.07 and share(1.0) == 1
    with pytest.raises(BadInput, match=r"dressed 2\.0: give a share"):
        World(dressed=2.0)


def test_as_many_scenes_hold_one_thing_alone_as_asked():
    def share(alone):
        scenes = World(seed=3, alone=alone).draw(range(400)).scenes
        return np.mean([len(s.things) == s.count == 1 for s in scenes])

    own = share(0.0)
    assert abs(share(0.5) - (own + 0.5 * (1 - own))) < 0.07 and share(1.0) == 1
    with pytest.raises(BadInput, match=r"alone -0\.1: give a share"):
        World(alone=-0.1)


def test_boxes_are_the_masks_extents_and_maps_their_nouns():
    for row, scene in enumerate(BATCH.scenes):
        copies = list(scene.things) * scene.count
        assert len(BATCH.masks[row]) == len(copies)
        for mask, (x0, y0, x1, y1), thing in zip(BATCH.masks[row], BATCH.boxes[row], copies):
            rows, columns = np.nonzero(mask)
            assert (columns.min(), columns.max() + 1) == (x0, x1)
            assert (rows.min(), rows.max() + 1) == (y0, y1)
            assert (BATCH.maps[row][mask] == WORLD.nouns.index(thing.noun) + 1).all()
        assert (BATCH.masks[row].sum(0) <= 1).all(), "two objects claim one pixel"


def test_what_lies_outside_the_masks_is_background():
    """Painting the same scene with nothing in it changes (nearly) only masked pixels."""
    from limner.worlds import _backgrounds

    checked = 0
    for row, scene in enumerate(BATCH.scenes[:100]):
        if scene.style:
            continue
        outside = ~BATCH.masks[row].any(0)
        differences = [
            np.abs(BATCH.pictures[row].astype(int) - _backgrounds.background(scene.background, v))
            for v in range(_backgrounds.VARIANTS)
        ]
        changed = min((d.max(-1)[outside] > 12).mean() for d in differences)
        assert changed < 0.06, canonical(scene)  # objects' soft edges are outside the masks
        checked += 1
    assert checked > 60


def _centre(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def test_relations_hold_in_the_picture():
    seen = Counter()
    batch = WORLD.draw(range(1200), annotate=True)
    for row, scene in enumerate(batch.scenes):
        if len(scene.things) < 2:
            continue
        (x0, y0), (x1, y1) = (_centre(box) for box in batch.boxes[row])
        relation = scene.relation
        seen[relation] += 1
        if relation in ("left of", "right of"):
            assert (x0 < x1 - 20) == (relation == "left of")
        elif relation in ("above", "below"):
            assert (y0 < y1 - 20) == (relation == "above")
        elif relation in ("on top of", "riding"):
            assert y0 < y1 and abs(x0 - x1) < 45
        elif relation == "wearing":
            assert y1 < y0
        elif relation in ("holding", "eating", "using"):
            assert x1 > x0 and y1 > y0
    assert set(seen) == {*words.RELATIONS, "and"}


def test_counts_sizes_and_colours_hold_in_the_picture():
    sides = {size: [] for size in words.SIZES}
    for row, scene in enumerate(BATCH.scenes):
        assert len(BATCH.boxes[row]) == (scene.count if scene.count > 1 else len(scene.things))
        if len(scene.things) == scene.count == 1:
            x0, y0, x1, y1 = BATCH.boxes[row][0]
            sides[scene.things[0].size].append(max(x1 - x0, y1 - y0))
        thing = scene.things[0]
        if thing.noun == "sphere" and not (thing.material or scene.style):
            lit = np.percentile(BATCH.pictures[row][BATCH.masks[row][0]], 85, axis=0)
            named = min(words.COLOURS, key=lambda c: np.abs(lit - words.COLOURS[c]).sum())
            assert named == thing.colour
    assert max(sides["small"]) < min(sides[""]) and max(sides[""]) < min(sides["large"])


def test_no_content_kept_from_training_is_drawn_in_training_and_the_other_way_round():
    train = {canonical(s) for s in WORLD.draw(range(600)).scenes}
    kept = World(seed=3, split="held_out").draw(range(150))
    assert all(held_out(scene) for scene in kept.scenes)
    assert not any(held_out(scene) for scene in BATCH.scenes)
    assert not train & {canonical(scene) for scene in kept.scenes}


def test_phrasings_say_what_the_scene_holds():
    rng = np.random.default_rng(0)
    scene = Scene((Thing("cube", "red"), Thing("cube", "blue")), "on top of", 1, "grass")
    assert canonical(scene) == "a red cube on top of a blue cube on the grass"
    for caption in phrasings(scene, rng, 20):
        assert caption.index("red cube") < caption.index("on top of") < caption.index("blue cube")
        assert "on the grass" in caption
    left = Scene((Thing("cat"), Thing("horse")), "left of")
    said = set(phrasings(left, rng, 60))
    assert "a cat left of a horse" in said
    assert any("a horse to the right of a cat" in caption for caption in said)
    assert not any("a horse to the left of a cat" in caption for caption in said)


@pytest.mark.parametrize(
    ("scene", "caption"),
    [
        (Scene((Thing("cactus"),), None, 3, "desert"), "three cacti in the desert"),
        (Scene((Thing("apple", None, "ice"),)), "an apple made of ice"),
        (Scene((Thing("cat", None, None, "small"),), style="mosaic"), "a mosaic of a small cat"),
        (Scene((Thing("panda", None, "stained glass"),)), "a stained glass panda"),
        (
            Scene((Thing("astronaut"), Thing("horse")), "riding", 1, "sunset"),
            "an astronaut riding a horse at sunset",
        ),
    ],
)
def test_canonical_captions(scene, caption):
    assert canonical(scene) == caption


def test_without_the_font_the_world_draws_shapes_and_says_so(monkeypatch):
    monkeypatch.setattr(_sprites, "find_font", lambda: None)
    world = World(seed=1)
    assert world.shapes_only and set(world.nouns) == set(words.SHAPES)
    drawn = world.draw(range(40))
    assert {thing.noun for scene in drawn.scenes for thing in scene.things} <= set(words.SHAPES)
    with pytest.raises(BadInput, match="cannot draw 'panda'"):
        world.sprite(Thing("panda"))


@pytest.mark.parametrize("arguments", [{"vocabulary": "huge"}, {"split": "test"}])
def test_wrong_names_are_named(arguments):
    with pytest.raises(BadInput, match=next(iter(arguments.values()))):
        World(0, **arguments)


def test_every_material_and_style_changes_the_picture_and_keeps_the_outline():
    sprite = WORLD.sprite(Thing("cat"))
    for material in words.MATERIALS:
        made = WORLD.sprite(Thing("cat", None, material))
        assert np.array_equal(made[..., 3], sprite[..., 3])
        inside = sprite[..., 3] > 200
        assert np.abs(made[inside].astype(int) - sprite[inside])[:, :3].mean() > 5
    rng = np.random.default_rng
    plain = WORLD.paint(Scene((Thing("cat"),)), rng(0))[0].astype(int)
    drawn = {s: WORLD.paint(Scene((Thing("cat"),), style=s), rng(0))[0] for s in words.STYLES}
    for style, picture in drawn.items():
        assert np.abs(picture - plain).mean() > 2, style
    names = list(drawn)
    for first, second in pairwise(names):
        assert np.abs(drawn[first].astype(int) - drawn[second]).mean() > 4


def test_the_full_vocabulary_draws_every_noun():
    world = World(0, vocabulary="full")
    assert len(world.nouns) > 120 and len(set(world.nouns)) == len(world.nouns)
    for noun in world.nouns:
        ink = world.sprite(Thing(noun))[..., 3]
        assert 0.04 < (ink > 128).mean() < 1, noun  # the piano fills its square nearly
