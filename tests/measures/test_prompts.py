from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from limner.errors import BadInput
from limner.measures import _prompts
from limner.measures._prompts import KINDS, listed, prompts, twin
from limner.worlds import _vocabulary as words
from limner.worlds._captions import phrasings
from limner.worlds.scenes import Scene, Thing, World, canonical, held_out

LEAST = dict(zip(KINDS, (60, 40, 60, 40, 30, 40, 25, 25)))
LIST = prompts()


def test_the_file_is_what_the_function_makes() -> None:
    made = [_prompts._line(prompt) for prompt in listed()]
    assert made == _prompts.FILE.read_text("utf-8").splitlines()


def test_there_are_enough_of_each_kind_and_none_twice() -> None:
    counted = Counter(prompt.kind for prompt in LIST)
    assert len(LIST) >= 300 and set(counted) == set(KINDS)
    assert all(counted[kind] >= least for kind, least in LEAST.items()), counted
    assert len({prompt.words for prompt in LIST}) == len(LIST)


def test_every_noun_ground_relation_material_and_style_is_asked_for() -> None:
    scenes = [prompt.scene for prompt in LIST]
    singles = Counter(p.scene.things[0].noun for p in LIST if p.kind == "single object")
    nouns = [*(noun.word for noun in words.glyph_nouns("core")), *words.SHAPES]
    assert set(singles) == set(nouns) and min(singles.values()) >= 1
    assert {scene.background for scene in scenes} == set(words.BACKGROUNDS)
    assert {scene.relation for scene in scenes} >= set(words.RELATIONS)
    assert {scene.style for scene in scenes} == {None, *words.STYLES}
    assert {thing.material for scene in scenes for thing in scene.things} == {
        None,
        *words.MATERIALS,
    }
    assert {scene.count for scene in scenes} == {1, 2, 3, 4}


@pytest.mark.parametrize("prompt", LIST, ids=lambda prompt: prompt.words)
def test_each_is_the_caption_of_a_held_out_scene(prompt: _prompts.Prompt) -> None:
    assert prompt.words == canonical(prompt.scene)
    assert held_out(prompt.scene)
    for thing in prompt.scene.things:  # the world would not hide it in its own colour
        assert thing.colour not in words.BACKGROUNDS[prompt.scene.background][1]


def test_no_caption_of_training_is_among_them() -> None:
    """Found by drawing: among so many training captions some would be in a list chosen blindly."""
    world, said = World(0), set()
    for index in range(2500):
        rng = np.random.Generator(np.random.Philox(key=[0, index]))
        said |= set(phrasings(world.scene(rng), rng))
    listed_words = {prompt.words for prompt in LIST}
    assert not said & listed_words
    everything = World(0, split="all")
    for index in range(2500):
        rng = np.random.Generator(np.random.Philox(key=[0, index]))
        said |= set(phrasings(everything.scene(rng), rng))
    assert said & listed_words  # held-out scenes do come up where they are not kept out


def test_a_twin_s_phrasings_include_the_same_words() -> None:
    pairs = [prompt for prompt in LIST if twin(prompt.scene) is not None]
    assert len(pairs) > 40
    for prompt in pairs[::9]:
        other = twin(prompt.scene)
        assert other is not None and other != prompt.scene and held_out(other)
        rng = np.random.default_rng(0)
        assert prompt.words in phrasings(other, rng, 200)


def test_two_things_of_which_one_is_hidden_are_not_asked_for() -> None:
    red, blue = Thing("cube", "red"), Thing("cube", "blue")
    clash = Scene((red, blue), "on top of", 1, "red")
    grounds = [Scene((red, blue), "on top of", 1, ground) for ground in words.BACKGROUNDS]
    kept = _prompts._kept(grounds)
    assert clash not in kept and all(held_out(scene) for scene in kept)


def test_a_part_of_the_list_keeps_all_kinds() -> None:
    for count, kind in product((40, 80), KINDS):
        assert kind in {prompt.kind for prompt in prompts(count)}
    assert prompts(len(LIST)) == LIST
    for count in (0, -1, len(LIST) + 1):
        with pytest.raises(BadInput, match=f"count {count}: give a whole number from 1 to"):
            prompts(count)
