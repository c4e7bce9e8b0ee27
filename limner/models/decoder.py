"""A text-to-image model that is told a CLIP's embedding of a picture, too: the decoder of unCLIP
(Ramesh et al. 2022, "DALL·E 2", section 2.1), an adapter that `limner train decoder` wrote.

The embedding becomes a few tokens that follow those of the text. None is told as zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.models._text_to_image import TextToImage
from limner.models.clip import Clip, open_clip

__all__ = ["KIND", "PROJECTION", "Decoder", "decoder_of", "tokens_of"]

KIND = "decoder"
PROJECTION = "picture"  # of the adapter's tensors that make tokens of an embedding


def tokens_of(embeddings: Tensor, weight: Tensor, bias: Tensor, count: int) -> Tensor:
    """Embeddings (b, e) of length 1, or zeros for none → tokens (b, count, d).

    weight (count · d, e) and bias (count · d,) are of a linear layer, whose bias is what no picture
    means; it sees the embeddings times √e, so that their numbers are of about unit variance.
    """
    scaled = embeddings * math.sqrt(embeddings.shape[1])
    return functional.linear(scaled, weight, bias).unflatten(1, (count, -1))


@dataclass(frozen=True, eq=False)
class Decoder:
    """What `decoder_of` gives.

    model:  with the adapter in it
    clip:   by whose embeddings it was trained
    count:  of the tokens that an embedding becomes
    """

    model: TextToImage
    clip: Clip
    count: int

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → (b, e) of length 1, on the model's device."""
        return self.clip.embed_pictures(pictures).to(self.model.device)

    @torch.no_grad()
    def states(self, texts: Sequence[str], embeddings: Tensor) -> Tensor:
        """Texts (b), embeddings (b, e), zeros for no picture → what the U-Net attends to,
        (b, n + count, d) in the model's type."""
        assert self.model.adapter is not None  # `decoder_of` says so
        extra = self.model.adapter.extra
        weight, bias = (extra[f"{PROJECTION}.{part}"] for part in ("weight", "bias"))
        tokens = tokens_of(embeddings.float().cpu(), weight, bias, self.count)
        states = self.model.encode_text(texts)
        return torch.cat([states, tokens.to(states)], 1)


def decoder_of(model: TextToImage) -> Decoder:
    """The decoder that a model is with its adapter, and the CLIP that it was trained with.

    Raises BadInput where the adapter is missing, another or incomplete, or the CLIP is not what it
    was.
    """
    if model.adapter is None or model.adapter.kind != KIND:
        raise BadInput(
            f"the model {model.name!r} knows no embeddings of pictures: give a decoder for it "
            "(limner train decoder --data world:scenes -o RUN makes RUN/model)"
        )
    card, extra = model.adapter.card, model.adapter.extra
    told, count = card.get("clip"), card.get("tokens")
    if not (isinstance(told, dict) and isinstance(told.get("name"), str)):
        raise BadInput(f"{model.name!r} does not say whose embeddings it knows: train it again")
    clip = open_clip(told["name"])
    if clip.fingerprint != told.get("fingerprint"):
        raise BadInput(
            f"{model.name!r} was trained with another CLIP than {clip.name!r} is now: train it "
            "again (limner train decoder)"
        )
    width, size = model.encode_text([""]).shape[2], clip.embed_texts(["a"]).shape[1]
    count = count if isinstance(count, int) else 0
    wanted = {"weight": (count * width, size), "bias": (count * width,)}
    found = {part: extra.get(f"{PROJECTION}.{part}", torch.empty(0)) for part in wanted}
    if count < 1 or any(tuple(each.shape) != wanted[part] for part, each in found.items()):
        raise BadInput(f"the adapter of {model.name!r} has no projection that fits: train it again")
    return Decoder(model, clip, count)
