"""CLIPScore: how well pictures and their texts agree in CLIP's eyes (Hessel et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from limner.errors import BadInput
from limner.measures import Watch
from limner.models.clip import Clip, open_clip
from limner.picture import Picture

__all__ = ["ClipScore", "clip_score"]


@dataclass(frozen=True)
class ClipScore:
    """`mean` of the pictures' scores, each 0 to 100, with its standard error."""

    mean: float
    standard_error: float
    scores: tuple[float, ...]
    clip: str


def clip_score(
    pictures: Sequence[Picture],
    prompts: Sequence[str],
    *,
    clip: str | Path | Clip = "embedded",
    watch: Watch | None = None,
) -> ClipScore:
    """100 · max(cos(picture, prompt), 0) of each pair (equation 1, with w = 100 instead of 2.5).

    Args:
        pictures: of any sizes
        prompts: one for each picture
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        watch: called with the pictures done and their number

    Raises BadInput when the numbers differ, there are none, or CLIP cannot be opened.
    """
    if not pictures or len(pictures) != len(prompts):
        raise BadInput(f"{len(pictures)} pictures and {len(prompts)} prompts: give one for each")
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    scores: list[float] = []
    for picture, prompt in zip(pictures, prompts):
        cosine = model.embed_pictures(picture.pixels[None])[0] @ model.embed_texts([prompt])[0]
        scores.append(100 * max(float(cosine), 0.0))
        if watch is not None:
            watch(len(scores), len(pictures))
    spread = torch.tensor(scores).std(correction=min(1, len(scores) - 1))
    mean = sum(scores) / len(scores)
    return ClipScore(mean, float(spread) / len(scores) ** 0.5, tuple(scores), model.name)
