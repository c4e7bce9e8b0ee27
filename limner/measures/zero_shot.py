"""Can CLIP name an object that it was never trained to classify? (Radford et al. 2021, §3.1)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from limner.measures import Watch
from limner.measures._share import Share, checked, share
from limner.models.clip import Clip, open_clip
from limner.prompt import fill
from limner.worlds import _vocabulary as words
from limner.worlds.scenes import Scene, World

__all__ = ["ZeroShot", "zero_shot"]

_AT_ONCE = 32


@dataclass(frozen=True)
class ZeroShot:
    """named: all single-object scenes; bare: those with neither a material nor a style.

    coloured: of the shapes whose colour the caption names, those that are named with it. confused:
    the most frequent mistakes as (what it is, what CLIP said, how often).
    """

    named: Share
    bare: Share
    coloured: Share
    confused: tuple[tuple[str, str, int], ...]
    clip: str


def zero_shot(
    clip: str | Path | Clip = "embedded",
    *,
    count: int = 1000,
    seed: int = 1,
    vocabulary: str = "core",
    templates: Sequence[str] | None = None,
    ensemble: bool = False,
    watch: Watch | None = None,
) -> ZeroShot:
    """CLIP names the object of unseen single-object scenes among all objects of the world.

    The labels are all nouns; a shape has one label for each colour, and is right in any of them.
    A label counts as its best sentence: where an object stands takes as much of a picture as the
    object, and a sentence that says so is nearer than one that leaves it open.

    Args:
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        count: how many pictures
        seed: of the world; training's is 0
        vocabulary: core or full
        templates: sentences with {} for the label, or {a} for it with its article; one for each
            background of the world when not given
        ensemble: a label is the mean of its sentences' embeddings instead, as in the paper
        watch: called with the pictures done and their number
    """
    checked("count", count, 1, 1_000_000)
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    world = World(seed, vocabulary=vocabulary, split="held_out")
    labels = [*((noun, None) for noun in world.glyphs), *_shapes()]
    sentences = _in_front_of_each_ground() if templates is None else templates
    texts = _label_embeddings(model, labels, sentences, ensemble)
    asked: list[tuple[Scene, tuple[str, str | None]]] = []
    for pictures, scenes in _single(world, count):
        cosines = model.embed_pictures(pictures) @ texts.flatten(0, 1).T
        best = cosines.unflatten(1, texts.shape[:2]).amax(2).argmax(1).tolist()
        asked += [(scene, labels[i]) for scene, i in zip(scenes, best)]
        if watch is not None:
            watch(len(asked), count)
    return _summed(asked, model.name)


def _shapes() -> list[tuple[str, str | None]]:
    return [(shape, colour) for shape in words.SHAPES for colour in words.COLOURS]


def _in_front_of_each_ground() -> list[str]:
    return [f"{{a}} {ground}".strip() for ground, _ in words.BACKGROUNDS.values()]


def _label_embeddings(
    model: Clip,
    labels: Sequence[tuple[str, str | None]],
    templates: Sequence[str],
    ensemble: bool,
) -> Tensor:
    """(labels, templates, d) of length 1; (labels, 1, d) for an ensemble."""
    names = [f"{colour} {noun}" if colour else noun for noun, colour in labels]
    texts = [text for name in names for text in fill(templates, name)]
    each = model.embed_texts(texts).unflatten(0, (len(labels), len(templates)))
    return functional.normalize(each.mean(1, keepdim=True), dim=2) if ensemble else each


def _single(world: World, count: int) -> Iterator[tuple[Tensor, list[Scene]]]:
    """The first `count` pictures of one object: batches (b, 3, h, w) in [0, 1] and their scenes."""
    left = count
    for drawn in world.stream(0, _AT_ONCE):
        rows = [i for i, s in enumerate(drawn.scenes) if len(s.things) == s.count == 1][:left]
        if rows:
            pictures = torch.from_numpy(drawn.pictures[rows]).permute(0, 3, 1, 2) / 255
            yield pictures, [drawn.scenes[i] for i in rows]
        left -= len(rows)
        if not left:
            return


def _summed(asked: Sequence[tuple[Scene, tuple[str, str | None]]], name: str) -> ZeroShot:
    named, bare, coloured = [], [], []
    wrong: Counter[tuple[str, str]] = Counter()
    for scene, (noun, colour) in asked:
        thing, right = scene.things[0], scene.things[0].noun == noun
        named.append(right)
        if not (thing.material or scene.style):
            bare.append(right)
            if thing.colour:
                coloured.append(right and thing.colour == colour)
        if not right:
            wrong[thing.noun, noun] += 1
    confused = tuple((a, b, n) for (a, b), n in wrong.most_common(10))
    return ZeroShot(share(named), share(bare), share(coloured), confused, name)
