"""What the tasks that look at pictures share: opening CLIP, and embedding what they look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models.clip import Clip, open_clip
from limner.picture import Picture, load

__all__ = ["looked_at", "opened"]


def opened(clip: str | Path | Clip) -> Clip:
    """A Clip as it is, anything else through `open_clip`."""
    return open_clip(clip) if isinstance(clip, (str, Path)) else clip


def looked_at(clip: Clip, pictures: Sequence[str | Path | Picture]) -> tuple[list[Picture], Tensor]:
    """The pictures, loaded, and their embeddings (b, d). Sizes may differ."""
    if not pictures:
        raise BadInput("no pictures: give at least one PNG, JPEG or WebP file")
    # Each picture is brought to the network's size by itself, so that one is in memory at a time.
    seen = [each if isinstance(each, Picture) else load(each) for each in pictures]
    return seen, torch.cat([clip.embed_pictures(each.pixels[None]) for each in seen])
