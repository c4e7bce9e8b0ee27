"""How far pictures are from phrases in CLIP's space (Radford et al. 2021), in many views."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.judges._embedding import embedded, embedded_phrase
from limner.judges._views import Camera, check_counts, shots_for
from limner.models.clip import Clip as Opened
from limner.noise import Noise
from limner.prompt import Phrase

__all__ = ["Clip"]


@dataclass(frozen=True, eq=False)
class Clip:
    """Σ w·d(view, phrase) / Σ |w| over the phrases, averaged over views and CLIPs.

    clips:          opened ones; each takes views of its own
    phrases:        texts or pictures' files; a negative weight pushes away
    distance:       "spherical" 2·arcsin²(‖x − y‖/2), half the square of the angle, or "cosine"
                    1 − x·y, of embeddings of length 1
    views:          of each picture for each CLIP, new ones at every step
    views_at_once:  how many are in one part of the loss: memory is theirs; None for all
    camera:         how views are drawn
    """

    clips: Sequence[Opened]
    phrases: Sequence[Phrase]
    distance: Literal["spherical", "cosine"] = "spherical"
    views: int = 32
    views_at_once: int | None = None
    camera: Camera = field(default_factory=Camera)
    targets: tuple[Tensor, ...] = field(init=False)  # (phrases, d), one for each CLIP
    weights: Tensor = field(init=False)  # (phrases,), absolute values add up to 1

    def __post_init__(self) -> None:
        check_counts(self.views, self.views_at_once)
        if self.distance not in ("spherical", "cosine"):
            raise BadInput(f"distance {self.distance!r}: give 'spherical' or 'cosine'")
        if not self.clips:
            raise BadInput("no CLIP to judge with: give at least one")
        weights = torch.tensor([phrase.weight for phrase in self.phrases], dtype=torch.float64)
        total = float(weights.abs().sum())
        if not 0 < total < math.inf:
            shown = weights.tolist()
            raise BadInput(f"phrases of weights {shown}: give finite ones, not all of them 0")
        each = [[embedded_phrase(clip, phrase) for phrase in self.phrases] for clip in self.clips]
        object.__setattr__(self, "targets", tuple(torch.stack(some) for some in each))
        object.__setattr__(self, "weights", weights / total)

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part for each CLIP and each `views_at_once` views of it."""
        sides = [clip.side for clip in self.clips]
        how = (self.camera, noise, step, self.views, self.views_at_once)
        for number, shot in shots_for(sides, pictures, *how):
            seen = embedded(self.clips[number], shot(pictures)).unflatten(0, (len(pictures), -1))
            apart = _distance(seen[:, :, None], self.targets[number].to(seen), self.distance)
            weighted = (apart * self.weights.to(apart)).sum((1, 2))
            yield weighted / (self.views * len(self.clips))


def _distance(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Of embeddings (…, d) of length 1 → (…)."""
    if kind == "cosine":
        return 1 - (x * y).sum(-1)
    # At 1, of opposites, the arcsine's slope is infinite: there is no way to go.
    return 2 * ((x - y).norm(dim=-1) / 2).clamp(max=1 - 1e-6).arcsin() ** 2
