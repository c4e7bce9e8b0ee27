"""Finding the right caption among many, and the right picture (Radford et al. 2021, table 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limner.measures import Watch, batches
from limner.measures._share import Share, checked, share
from limner.models.clip import Clip, open_clip
from limner.worlds.scenes import World

__all__ = ["Retrieval", "ranked", "retrieval"]

_AT_ONCE = 32


@dataclass(frozen=True)
class Retrieval:
    """text: the picture's caption comes first among all; text_five: among the first five.

    picture: the caption's picture comes first among all.
    """

    text: Share
    text_five: Share
    picture: Share
    clip: str


def retrieval(
    clip: str | Path | Clip = "embedded",
    *,
    count: int = 1000,
    seed: int = 1,
    vocabulary: str = "core",
    watch: Watch | None = None,
) -> Retrieval:
    """Finds captions among those of `count` unseen scenes, and pictures by their captions.

    Scenes are the world's held-out ones, each with its plainest caption; where two have the same
    caption, either is right.

    Args:
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        count: how many pictures
        seed: of the world; training's is 0
        vocabulary: core or full
        watch: called with the pictures done and their number
    """
    checked("count", count, 2, 100_000)
    model = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    world = World(seed, vocabulary=vocabulary, split="held_out")
    seen, captions = [], []
    for some in batches(0, count, _AT_ONCE):
        drawn = world.draw(some)
        seen.append(
            model.embed_pictures(torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255)
        )
        captions += [texts[0] for texts in drawn.captions]
        if watch is not None:
            watch(some[-1] + 1, count)
    cosines = torch.cat(seen) @ model.embed_texts(captions).T
    places = ranked(cosines, captions)
    return Retrieval(
        text=share(place == 0 for place in places),
        text_five=share(place < 5 for place in places),
        picture=share(place == 0 for place in ranked(cosines.T, captions)),
        clip=model.name,
    )


def ranked(cosines: Tensor, captions: Sequence[str]) -> list[int]:
    """For each row of cosines (n, n), how many other captions come before its best right one.

    captions: of row and of column i; equal ones are all right
    """
    numbers = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    of = torch.tensor([numbers[caption] for caption in captions], device=cosines.device)
    right = of[:, None] == of[None, :]
    best = cosines.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return ((cosines >= best) & ~right).sum(1).tolist()
