"""What a picture shows, in words: the captions that CLIP finds most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import BadInput
from limner.prompt import read_lines

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models.clip import Clip
    from limner.picture import Picture

__all__ = ["Described", "describe"]


@dataclass(frozen=True)
class Described:
    """A picture and its captions with their cosines (-1 to 1), the most fitting first."""

    picture: Picture
    captions: dict[str, float]

    @property
    def caption(self) -> str:
        """The most fitting caption."""
        return next(iter(self.captions))


def describe(
    pictures: Sequence[str | Path | Picture],
    *,
    captions: str | Path | Sequence[str] | None = None,
    top: int = 3,
    clip: str | Path | Clip = "embedded",
) -> list[Described]:
    """Finds the captions that fit each picture best; one result a picture, in their order.

    Without captions to choose from, they are put together from the words of the world scenes:
    first what is there, then in which colour, number or material, then how it stands to what else,
    then in front of what and in which style.

    Args:
        pictures: files, or pictures
        captions: a text file with one caption a line, or a list
        top: how many captions of each picture
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave

    Raises BadInput when a file or the model cannot be opened.
    """
    from limner.tasks._look import looked_at, opened

    if not 1 <= top <= 1000:
        raise BadInput(f"top {top}: give a whole number from 1 to 1000")
    given = read_lines(captions) if isinstance(captions, (str, Path)) else captions
    if given is not None and not given:
        raise BadInput("no captions to choose from: give at least one")
    model = opened(clip)
    seen, embeddings = looked_at(model, pictures)
    if given is not None:
        texts = list(dict.fromkeys(given))
        scores = (embeddings @ model.embed_texts(texts).T).tolist()
        found = [dict(zip(texts, row)) for row in scores]
    else:
        found = [_searched(model, embedding) for embedding in embeddings]
    return [Described(picture, _highest(each, top)) for picture, each in zip(seen, found)]


def _searched(model: Clip, embedding: Tensor) -> dict[str, float]:
    """A beam search: each stage says more about the best that the stages before it found."""
    from limner.tasks._captions import BEAM, STAGES
    from limner.worlds.scenes import Scene, canonical

    beam: list[Scene] = []
    scores: dict[Scene, float] = {}
    for stage in STAGES:
        new = [scene for scene in dict.fromkeys(stage(beam)) if scene not in scores]
        if new:
            texts = model.embed_texts([canonical(scene) for scene in new])
            scores |= dict(zip(new, (texts @ embedding).tolist()))
        beam = sorted(scores, key=lambda scene: -scores[scene])[:BEAM]
    return {canonical(scene): score for scene, score in scores.items()}


def _highest(scores: dict[str, float], top: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda pair: -pair[1])[:top])
