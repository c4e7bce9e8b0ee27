"""Whether a layer shows by itself what the words say: Text2LIVE's screen loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.judges.over import Over
from limner.models.clip import Clip as Opened
from limner.noise import Noise
from limner.prompt import Phrase, fill

__all__ = ["Screen"]

_GREEN = (0, 177, 64)  # Bar-Tal et al. 2022, section 3.1: chroma key green, of 255
_TEMPLATES = (
    "{a} over a green screen",
    "{a} in front of a green screen",
    "{a} on a green background",
)


@dataclass(frozen=True, eq=False)
class Screen:
    """`Clip` of layers (b, 4, h, w) over a green screen, against the words in sentences that tell
    of the screen (Bar-Tal et al. 2022, eq. 4).

    clips:          opened ones
    text:           what the layer shows
    views:          of each layer for each CLIP
    views_at_once:  how many are in one part of the loss; None for all
    camera:         how views are drawn
    """

    clips: Sequence[Opened]
    text: str
    views: int = 16
    views_at_once: int | None = None
    camera: Camera = field(default_factory=Camera)
    judge: Clip = field(init=False)

    def __post_init__(self) -> None:
        phrases = [Phrase(sentence) for sentence in fill(_TEMPLATES, self.text)]
        judge = Clip(
            self.clips,
            phrases,
            views=self.views,
            views_at_once=self.views_at_once,
            camera=self.camera,
        )
        object.__setattr__(self, "judge", judge)

    def losses(self, pictures: Tensor, noise: Noise, step: int) -> Iterator[Tensor]:
        """`Clip`'s parts."""
        green = torch.tensor(_GREEN).to(pictures)[:, None, None] / 255
        ground = green.expand(1, 3, *pictures.shape[2:])
        return Over(self.judge, ground).losses(pictures, noise, step)
