"""Which pictures show best what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.prompt import check

if TYPE_CHECKING:
    from limner.models.clip import Clip
    from limner.picture import Picture

__all__ = ["Ranked", "rank"]


@dataclass(frozen=True)
class Ranked:
    """A picture and the cosine of its and the prompt's embedding, -1 to 1."""

    picture: Picture
    score: float


def rank(
    prompt: str,
    pictures: Sequence[str | Path | Picture],
    *,
    clip: str | Path | Clip = "embedded",
) -> list[Ranked]:
    """Sorts pictures by how well they show the prompt in CLIP's eyes, best first.

    Args:
        prompt: what they should show
        pictures: files, or pictures
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave

    Raises BadInput when a picture or the model cannot be opened.
    """
    from limner.tasks._look import looked_at, opened

    check(prompt)
    model = opened(clip)
    seen, embeddings = looked_at(model, pictures)
    scores = (embeddings @ model.embed_texts([prompt])[0]).tolist()
    ranked = [Ranked(picture, score) for picture, score in zip(seen, scores)]
    return sorted(ranked, key=lambda each: -each.score)
