from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from limner import Picture, describe, open_clip
from limner.errors import BadInput
from limner.models.clip import Clip
from limner.tasks._captions import STAGES, log_odds
from limner.worlds import _vocabulary as words
from limner.worlds.scenes import Scene, Thing, World, canonical


@cache
def meaning(token: str) -> torch.Tensor:
    rng = np.random.default_rng(list(token.encode()))
    return torch.from_numpy(rng.standard_normal(1024).astype(np.float32))


class Oracle:
    """A CLIP that knows: a picture's embedding is its caption's bag of words, in order of two."""

    logit_scale = 100.0

    def __init__(self, truth: str) -> None:
        self.truth = truth

    def _embedded(self, text: str) -> torch.Tensor:
        tokens = [token.removesuffix("s") for token in re.findall(r"\w+", text)]
        out = sum(map(meaning, [*tokens, *map(" ".join, pairwise(tokens))]), torch.zeros(1024))
        return out / out.norm()

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([self._embedded(text) for text in texts])

    def embed_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        return self._embedded(self.truth).expand(len(pictures), -1)


GREY = Picture(torch.full((3, 8, 8), 0.5))
CUBE, CONE = Thing("cube", "red"), Thing("cone", "blue")


@pytest.mark.parametrize(
    "scene",
    [
        Scene((Thing("panda"),)),
        Scene((CUBE,), background="beach"),
        Scene((Thing("cat"),), count=3, background="snow"),
        Scene((Thing("horse", material="wooden"),), background="grass"),
        Scene((CUBE, CONE), "on top of"),
        Scene((Thing("astronaut"), Thing("horse")), "riding", background="sunset"),
        Scene((CONE, Thing("cat")), "left of", background="night"),
        Scene((Thing("robot"),), background="city", style="mosaic"),
    ],
)
def test_the_search_finds_what_an_eye_that_knows_would_say(scene: Scene) -> None:
    truth = canonical(scene)
    found = describe([GREY], clip=cast(Clip, Oracle(truth)))[0]
    assert found.caption == truth
    assert list(found.captions.values()) == sorted(found.captions.values(), reverse=True)
    assert len(found.captions) == 3


def test_every_noun_of_the_world_is_looked_for() -> None:
    first = set(STAGES[0]([]))
    assert {Scene((Thing(noun.word),)) for noun in words.glyph_nouns("core")} <= first
    assert {Scene((Thing(shape, "blue"),)) for shape in words.SHAPES} <= first
    pair = Scene((CUBE, CONE), "and")
    relations = set(STAGES[4]([pair]))
    for relation in words.RELATIONS:
        assert Scene((CUBE, CONE), relation) in relations
        assert Scene((CONE, CUBE), relation) in relations


def test_the_odds_are_the_worlds() -> None:
    """Sums over families of scenes against how often the world draws them."""
    things = list(STAGES[0]([]))
    grounds = [replace(scene, background=g) for scene in things for g in words.BACKGROUNDS]
    styled = [replace(scene, style=s) for scene in grounds for s in (None, *words.STYLES)]
    counted = [replace(scene, count=n) for scene in styled for n in words.COUNTS.values()]
    rng, world = np.random.default_rng(5), World(split="all")
    drawn = [world.scene(rng) for _ in range(3000)]

    def share(kind: Callable[[Scene], bool]) -> float:
        return sum(map(kind, drawn)) / len(drawn)

    def odds(scenes: Sequence[Scene]) -> float:
        return sum(math.exp(log_odds(scene)) for scene in scenes)

    assert odds(counted) == pytest.approx(share(lambda each: each.count > 1), abs=0.03)
    single = share(lambda e: len(e.things) == e.count == 1)
    assert odds(styled) == pytest.approx(single, abs=0.04)
    plain = share(lambda e: len(e.things) == e.count == 1 and not e.style)
    assert odds(grounds) == pytest.approx(plain, abs=0.04)
    pairs = [Scene((a.things[0], b.things[0]), "riding") for a in things for b in things]
    assert odds(pairs) == pytest.approx(0.42 * 0.2 * 0.91 / len(words.RELATIONS), rel=0.01)


def test_captions_to_choose_from(clip_folder: Path, tmp_path: Path) -> None:
    clip = open_clip(clip_folder)
    captions = ["a red cube", "the cat", "a dog on top of the horse"]
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(captions))
    pictures = [
        Picture(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i))) for i in (0, 1)
    ]
    named: Any = describe(pictures, captions=path, top=2, clip=clip)
    listed: Any = describe(pictures, captions=captions, top=2, clip=clip)
    for one, other, picture in zip(named, listed, pictures, strict=True):
        assert one.captions == other.captions
        cosines = (clip.embed_pictures(picture.pixels[None]) @ clip.embed_texts(captions).T)[0]
        scores = (clip.logit_scale * cosines).softmax(0)
        best = sorted(zip(captions, scores.tolist(), strict=True), key=lambda pair: -pair[1])[:2]
        assert list(one.captions) == [caption for caption, _ in best]
        assert list(one.captions.values()) == pytest.approx([score for _, score in best], abs=1e-5)


def test_what_it_refuses(clip_folder: Path, tmp_path: Path) -> None:
    for options, reason in (
        (dict(captions=tmp_path / "nowhere.txt"), "No such file"),
        (dict(captions=[]), "no captions"),
        (dict(top=0), "top 0"),
    ):
        with pytest.raises(BadInput, match=reason):
            describe([GREY], clip=clip_folder, **options)  # type: ignore[arg-type]
