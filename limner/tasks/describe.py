"""What a picture shows, in words: the captions that CLIP finds likeliest."""

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
    """A picture and its captions with their probabilities among all tried, the likeliest first; of
    a SigLIP that was given captions, each one's own."""

    picture: Picture
    captions: dict[str, float]

    @property
    def caption(self) -> str:
        """The likeliest caption."""
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
    first what is there and in front of what, then how many, how large or of which material, then
    what else and how the two stand to each other, then in which style.

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
    if given is None:
        search = _Search(model)
        found = [search(embedding) for embedding in embeddings]
    else:
        texts = list(dict.fromkeys(given))
        chances = model.chances(embeddings, model.embed_texts(texts))
        found = [dict(zip(texts, row)) for row in chances.tolist()]
    return [Described(picture, _likeliest(each, top)) for picture, each in zip(seen, found)]


class _Search:
    """A beam search: each stage says more about the likeliest that the stages before it found.

    The best critic of InfoNCE is the logarithm of p(picture | caption) / p(picture) (van den Oord
    et al. 2018, §2.3), as SigLIP's is up to its bias, so the likeliest caption is that of the
    highest scaled cosine plus the logarithm of its own odds. Without the odds the longest captions
    win, there being so many.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.known: dict[str, Tensor] = {}  # captions' embeddings, for the pictures that follow

    def __call__(self, embedding: Tensor) -> dict[str, float]:
        """A picture's embedding (d,) → captions and their probabilities among them."""
        import torch

        from limner.tasks._captions import STAGES, log_odds
        from limner.worlds.scenes import Scene, canonical

        logits: dict[Scene, float] = {}
        ranked: list[Scene] = []
        for stage in STAGES:
            new = [scene for scene in dict.fromkeys(stage(ranked)) if scene not in logits]
            if new:
                scaled = self.clip.logit_scale * self._texts([canonical(each) for each in new])
                cosines = (scaled @ embedding).tolist()
                logits |= {each: cosine + log_odds(each) for each, cosine in zip(new, cosines)}
            ranked = sorted(logits, key=lambda scene: -logits[scene])
        chances = torch.tensor([logits[scene] for scene in ranked]).softmax(0).tolist()
        return dict(zip((canonical(scene) for scene in ranked), chances))

    def _texts(self, captions: list[str]) -> Tensor:
        import torch

        new = [caption for caption in dict.fromkeys(captions) if caption not in self.known]
        if new:
            self.known |= dict(zip(new, self.clip.embed_texts(new)))
        return torch.stack([self.known[caption] for caption in captions])


def _likeliest(chances: dict[str, float], top: int) -> dict[str, float]:
    """So many captions and their probabilities, the likeliest first."""
    return dict(sorted(chances.items(), key=lambda pair: -pair[1])[:top])
