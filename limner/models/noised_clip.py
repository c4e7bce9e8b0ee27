"""A picture tower that sees noisy latents and ends in an existing CLIP's space (Nichol et al. 2022,
"GLIDE", §2.4): what `limner train noised-clip` wrote, with that CLIP's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from limner.errors import BadInput
from limner.levels import Level
from limner.models._bounds import refusing
from limner.models._noised import Noised, open_noised
from limner.models.clip import Clip, open_clip

__all__ = ["RECIPE", "NoisedClip", "open_noised_clip"]

RECIPE = "noised-clip"


@dataclass(frozen=True, eq=False)
class NoisedClip:
    """What `open_noised_clip` gives."""

    noised: Noised
    clip: Clip  # whose words it knows

    @property
    def name(self) -> str:
        return self.noised.name

    @property
    def licence(self) -> str:
        return self.noised.licence

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files; its CLIP's are named in them."""
        return self.noised.fingerprint

    def to(self, device: str | torch.device) -> NoisedClip:
        """Its tower on a device."""
        return replace(self, noised=self.noised.to(device))

    def embed(self, x: Tensor, level: Level) -> Tensor:
        """x (b, c, h, w) at `level`, of any family → (b, d) of length 1, with gradients."""
        return normalize(self.noised(x, level), dim=1)

    def likelihood(self, text: str) -> Callable[[Tensor, Level], Tensor]:
        """x at a level → log p(text | x) (b,) up to a constant, with gradients: the product of the
        embeddings by the scale at which the tower was taught to tell texts apart."""
        target, scale = self.clip.embed_texts([text])[0], float(self.noised.card["scale"])

        def said(x: Tensor, level: Level) -> Tensor:
            return scale * (self.embed(x, level) * target.to(x)).sum(1)

        return said


@refusing
def open_noised_clip(name: str | Path = "embedded", clip: str | Path | None = None) -> NoisedClip:
    """Opens "embedded", or what `limner train noised-clip` wrote, and the CLIP of its words: the
    one that it was trained with, or the same elsewhere.

    Raises BadInput where either is missing, broken or another's.
    """
    noised = open_noised(name, RECIPE)
    told = noised.card.get("clip")
    scale, outputs = noised.card.get("scale"), noised.card["tower"]["outputs"]
    fits = isinstance(told, dict) and isinstance(told.get("name"), str)
    if not fits or not isinstance(scale, (int, float)):
        raise BadInput(f"{name!r} does not say which CLIP's words it knows: train it again")
    assert isinstance(told, dict)
    words = open_clip(told["name"] if clip is None else clip)
    if words.fingerprint != told.get("fingerprint"):
        raise BadInput(
            f"{str(name)!r} was trained with another CLIP than {words.name!r} is now: train it "
            "again (limner train noised-clip)"
        )
    if words.embed_texts(["a"]).shape[1] != outputs:
        raise BadInput(f"{str(name)!r} ends in {outputs} numbers, and {words.name!r} in others")
    return NoisedClip(noised, words)
