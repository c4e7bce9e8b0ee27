"""Whether a picture moved as the words did: the directional loss of StyleGAN-NADA."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.judges._embedding import embedded
from limner.judges._rows import beside
from limner.judges._views import Camera, check_counts, shots_for
from limner.models.clip import Clip
from limner.noise import Noise
from limner.prompt import TEMPLATES, fill

__all__ = ["Direction"]

# Embeddings apart by less count as not apart. At the reference itself the way moved has no
# direction; with this its gradient is finite there and leads along the words' way.
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Direction:
    """1 − cos(E(picture) − E(reference), E(target) − E(source)), averaged over views and CLIPs
    (Gal et al. 2021).

    clips:          opened ones
    reference:      where the pictures set out from, (1 or b, 3, h, w) in [0, 1]
    source:         what the reference shows, such as "a dog"
    target:         what it is to become, "a cat"
    templates:      sentences that both labels are put into; their mean is a label's embedding
    views:          of each picture and, the same ones, of its reference
    views_at_once:  how many are in one part of the loss; None for all
    camera:         how views are drawn; the paper's is the whole picture, one view of a camera
                    with all at 0
    """

    clips: Sequence[Clip]
    reference: Tensor
    source: str
    target: str
    templates: Sequence[str] = TEMPLATES
    views: int = 16
    views_at_once: int | None = None
    camera: Camera = field(default_factory=Camera)
    axes: tuple[Tensor, ...] = field(init=False)  # (d,) of length 1, one for each CLIP

    def __post_init__(self) -> None:
        check_counts(self.views, self.views_at_once)
        if not self.clips or not self.templates:
            raise BadInput("no CLIP or no template to judge with: give at least one of each")
        if self.source == self.target:
            raise BadInput(f"source and target are both {self.source!r}: say what is to change")
        object.__setattr__(self, "axes", tuple(self._axis(clip) for clip in self.clips))

    def _axis(self, clip: Clip) -> Tensor:
        source, target = (
            functional.normalize(clip.embed_texts(fill(self.templates, label)).mean(0), dim=0)
            for label in (self.source, self.target)
        )
        return functional.normalize(target - source, dim=0)

    def at(self, reference: Tensor) -> Direction:
        """The same way from another reference; the words are not embedded again."""
        other = copy.copy(self)
        object.__setattr__(other, "reference", reference)
        return other

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """One part for each CLIP and each `views_at_once` views of it."""
        reference = beside(self.reference, pictures, "reference picture")
        sides = [clip.side for clip in self.clips]
        how = (self.camera, noise, step, self.views, self.views_at_once)
        for number, shot in shots_for(sides, pictures, *how):
            clip, axis = self.clips[number], self.axes[number]
            with torch.no_grad():
                before = embedded(clip, shot(reference))
            way = embedded(clip, shot(pictures)) - before
            along = (way * axis.to(way)).sum(1) / (way.square().sum(1) + _NEAR**2).sqrt()
            apart = (1 - along).unflatten(0, (len(pictures), -1))
            yield apart.sum(1) / (self.views * len(self.clips))
