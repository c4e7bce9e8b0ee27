"""CLIP's embeddings with gradients: of views, and of what they are compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from limner.models.clip import Clip
from limner.picture import load
from limner.prompt import Phrase

__all__ = ["embedded", "embedded_phrase"]


def embedded(clip: Clip, views: Tensor) -> Tensor:
    """Views (n, 3, clip.side, clip.side) → (n, d) of length 1, in the views' type and place.

    The products are in clip.judges_in; in bfloat16 they take half the time.
    """
    inside = views.to(clip.towers.logit_scale)
    mean, std = (inside.new_tensor(each)[:, None, None] for each in (clip.mean, clip.std))
    half = clip.judges_in == torch.bfloat16
    with torch.autocast(inside.device.type, torch.bfloat16, enabled=half):
        said = clip.towers.pictures((inside - mean) / std)
    return functional.normalize(said.to(inside), dim=1).to(views)


def embedded_phrase(clip: Clip, phrase: Phrase) -> Tensor:
    """(d,) of length 1: the text's embedding, or the picture's whose file the phrase names."""
    if phrase.picture is not None:
        return clip.embed_pictures(load(phrase.picture).pixels[None])[0]
    return clip.embed_texts([phrase.text])[0]
