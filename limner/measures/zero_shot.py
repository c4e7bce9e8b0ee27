"""Can CLIP name an object that it was never trained to classify? (Radford et al. 2021, §3.1)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from limner.worlds.scenes import Scene, Thing, World, canonical, made_of

__all__ = ["ZeroShot", "zero_shot"]

_AT_ONCE = 32
_MADE, _DRAWN = 0.14, 0.09  # of the world's pictures of one thing: in a material, in a style


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
    A label is as likely as all its sentences together, for each background, material and style:
    what a picture was trained to score is log p(picture | sentence) up to a constant (van den Oord
    et al. 2018, "Representation Learning with Contrastive Predictive Coding", eq. 4), so Bayes'
    rule weighs each sentence's exp(scale·cosine) by how often the world says it.

    Args:
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        count: how many pictures
        seed: of the world; training's is 0
        vocabulary: core or full
        templates: sentences with {} for the label, or {a} for it with its article; the world's
            own captions when not given
        ensemble: a label is the mean of its sentences' embeddings instead, as in the paper
        watch: called with the pictures done and their number
    """
    checked("count", count, 1, 1_000_000)
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    world = World(seed, vocabulary=vocabulary, split="held_out")
    labels = [*((noun, None) for noun in world.glyphs), *_shapes()]
    if templates is None:  # many materials hide a shape's own colour
        labels += [(shape, None) for shape in words.SHAPES]
        said = [_captions(*label) for label in labels]
    else:
        names = [f"{colour or ''} {noun}".strip() for noun, colour in labels]
        said = [dict.fromkeys(fill(templates, name), 1.0) for name in names]
    likelihood = _likelihood(model, said, ensemble)
    asked: list[tuple[Scene, tuple[str, str | None]]] = []
    for pictures, scenes in _single(world, count):
        best = likelihood(model.embed_pictures(pictures)).argmax(1).tolist()
        asked += [(scene, labels[i]) for scene, i in zip(scenes, best)]
        if watch is not None:
            watch(len(asked), count)
    return _summed(asked, model.name)


def _shapes() -> list[tuple[str, str | None]]:
    return [(shape, colour) for shape in words.SHAPES for colour in words.COLOURS]


def _captions(noun: str, colour: str | None) -> dict[str, float]:
    """What the world says of it in front of each background, made of or drawn as anything, each
    with how often it does, up to a factor."""
    plain = Thing(noun, colour)
    made = [made_of(plain, material) for material in words.MATERIALS]
    looks: list[tuple[Thing, str | None, float]] = [(plain, None, 1 - _MADE - _DRAWN)]
    looks += [(thing, None, _MADE / len(made)) for thing in made if thing.colour == colour]
    looks += [(plain, style, _DRAWN / len(words.STYLES)) for style in words.STYLES]
    return {
        canonical(Scene((thing,), background=ground, style=style)): share
        for thing, style, share in looks
        for ground in words.BACKGROUNDS
    }


def _likelihood(
    model: Clip, said: Sequence[Mapping[str, float]], ensemble: bool
) -> Callable[[Tensor], Tensor]:
    """Embeddings of pictures (b, d) → the log-likelihood of each label (b, labels), from its
    sentences and their weights; of an ensemble, the cosine with their mean."""
    texts = model.embed_texts([text for each in said for text in each])
    counts = [len(each) for each in said]
    if ensemble:
        means = torch.stack([part.mean(0) for part in texts.split(counts)])
        return lambda pictures: pictures @ functional.normalize(means, dim=1).T
    weights = torch.tensor([weight for each in said for weight in each.values()]).log()

    def likelihood(pictures: Tensor) -> Tensor:
        parts = (model.logit_scale * pictures @ texts.T + weights).split(counts, 1)
        return torch.stack([part.logsumexp(1) for part in parts], 1)

    return likelihood


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
