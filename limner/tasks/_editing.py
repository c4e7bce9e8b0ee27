"""What the ways to edit share: the order they get, the layer they give, and the search of some.

A way is `_edit_NAME.py`, with `USUAL`, its settings, and `edit(order, report)`, which gives a layer
(1, 4, h, w) in [0, 1], colour and opacity, of any size: enlarged, confined to the mask and brought
to 8 bits it is laid over the picture.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput, LimnerError
from limner.generators import Generator, Latent
from limner.judges import Judge
from limner.judges.clip import Clip
from limner.judges.likeness import Likeness
from limner.judges.masked import Masked
from limner.judges.weighted import Weighted
from limner.models._text_to_image import TextToImage
from limner.models._towers import Pictures as ViT
from limner.models.clip import Clip as Opened
from limner.models.clip import open_clip
from limner.models.directions import Directions
from limner.models.mapper import Mapped
from limner.models.stylegan import StyleGAN
from limner.models.vqgan import Vqgan
from limner.noise import Noise
from limner.picture import resize
from limner.prompt import parse
from limner.searches.descend import descend
from limner.tasks._generators import begun_at

__all__ = [
    "Model",
    "Order",
    "Report",
    "Usual",
    "Way",
    "finished",
    "laid_over",
    "led",
    "opaque",
    "repainted",
    "way",
    "ways",
]

Model = TextToImage | Vqgan | StyleGAN | Mapped | Directions

Report = Callable[[int, Callable[[], Tensor]], None]
"""report(step, preview), preview() the layer as it is now."""

NEAR = 256  # pixels a side of what is searched; what comes of a larger picture is enlarged
_LIKENESS = 10.0  # weight of the mean square at strength 0; CLIP's part falls by some tenths


@dataclass(frozen=True)
class Usual:
    """A way's settings where nothing is said.

    rounds:  how often the steps run, for a way of several parts
    views:   0 for a way that takes none
    opens:   what paints, if anything is opened
    clips:   (what was opened) → names of the CLIPs; None for those of all searches
    """

    steps: int
    strength: float
    rounds: int = 1
    views: int = 16
    has_clips: bool = True
    has_source: bool = False
    has_threshold: bool = False
    opens: Callable[[str | Path], Model] | None = None
    clips: Callable[[Model], Sequence[str]] | None = None


@dataclass(frozen=True, eq=False)
class Order:
    """What is to be edited, every value settled.

    picture:  (1, 3, h, w) in [0, 1]; the ways of a StyleGAN2 take (b, 3, h, w), edited one by one
    mask:     (1, 1, h, w) in [0, 1], 1 where it is edited; None for everywhere
    latent:   the pictures' w+ and noise, for these ways, where somebody has found them already
    """

    picture: Tensor
    mask: Tensor | None
    text: str
    source: str | None
    strength: float
    steps: int
    views: int
    seed: int
    clips: list[Opened]
    model: Model | None
    threshold: float | None = None
    latent: Latent | None = None

    @property
    def noise(self) -> Noise:
        """The same for each picture: together they become what they become alone."""
        return Noise(self.seed, [0] * len(self.picture))

    def fitted(
        self, near: int = NEAR, by: int = 1, enlarge: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Picture and mask made smaller, to an area of near², where theirs is larger; or larger
        too, where so wanted. Their sides are multiples of `by`."""
        height, width = self.picture.shape[2:]
        scale = near / (height * width) ** 0.5
        scale = scale if enlarge else min(1.0, scale)
        down, across = (max(by, round(side * scale / by) * by) for side in (height, width))
        small = resize(self.picture, (down, across))
        return small, None if self.mask is None else resize(self.mask, (down, across))

    @cached_property
    def patched(self) -> Opened:
        """The first CLIP whose tower is a ViT; where none that is followed is one, limner's own
        that measures, which then says where things are and follows no words. BadInput."""
        seeing = [clip for clip in self.clips if isinstance(clip.towers.pictures, ViT)]
        found = seeing[0] if seeing else open_clip("embedded")
        if not isinstance(found.towers.pictures, ViT):
            raise BadInput(
                "none of the CLIPs is a ViT, which alone sees patches: name one (--clip)"
            )
        return found


class Way(Protocol):
    """A module `_edit_NAME.py`."""

    USUAL: Usual

    def edit(self, order: Order, report: Report) -> Tensor: ...


def ways() -> list[str]:
    """The names there are: `layer` is `_edit_layer.py`."""
    files = Path(__file__).parent.glob("_edit_*.py")
    return sorted(file.stem.removeprefix("_edit_") for file in files)


def way(name: str) -> Way:
    """Raises BadInput, with a list, for a name that there is not."""
    if name not in ways():
        raise BadInput(f"no method {name!r}: choose one of {', '.join(ways())}")
    found: Way = importlib.import_module(f"limner.tasks._edit_{name}")  # type: ignore[assignment]
    return found


def led(
    order: Order, generator: Generator, judge: Judge, start: Latent, rate: float = 1.0
) -> Iterator[Latent]:
    """The latents of a search downhill, one for each step."""
    noise, steps = order.noise, order.steps
    states = descend(generator, judge, noise=noise, steps=steps, start=start, rate=rate)
    return (state.latent for state in states)


def repainted(
    order: Order, generator: Generator, small: tuple[Tensor, Tensor | None], report: Report
) -> Tensor:
    """VQGAN-CLIP's editing (Crowson et al. 2022, section 4): CLIP leads the latent that shows the
    picture, `small` with its mask, to the text; what is outside the mask is seen as it is.

    The mean square of what changed weighs 10·(1 − strength): at 1 the picture is only a start.
    """
    picture, mask = small
    start = begun_at(generator, "the generator", picture)
    told: list[tuple[Judge, float]] = [
        (Clip(order.clips, parse(order.text), views=order.views), 1.0),
        (Likeness(picture), _LIKENESS * (1 - order.strength)),
    ]
    judge: Judge = Weighted(told)
    if mask is not None:
        judge = Masked(judge, mask, picture)
    latent = start
    for step, latent in enumerate(led(order, generator, judge, start), 1):
        report(step, lambda latent=latent: opaque(generator.render(latent)))  # type: ignore[misc]
    return opaque(generator.render(latent))


def opaque(pictures: Tensor) -> Tensor:
    """(b, 3, h, w) → (b, 4, h, w), nothing of them transparent."""
    return torch.cat([pictures, torch.ones_like(pictures[:, :1])], 1)


def finished(layer: Tensor, order: Order) -> np.ndarray:
    """A layer (1, 4, h', w') → uint8 (h, w, 4) of the picture's size, transparent outside the
    mask, where no colour is left. Raises LimnerError for values that are no numbers."""
    if not bool(layer.isfinite().all()):
        raise LimnerError("the edit has values that are no numbers: the model is damaged")
    height, width = order.picture.shape[2:]
    full = resize(layer.detach().float(), (height, width))[0]
    alpha = full[3:] if order.mask is None else full[3:] * order.mask[0]
    levels = torch.cat([full[:3], alpha]).clamp(0, 1).mul(255).round()
    levels = torch.where(levels[3:] > 0, levels, 0)
    return levels.to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()


def laid_over(layer: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 4) over uint8 (h, w, 3): (c·α + p·(255 − α))/255, rounded to the nearest.

    In whole numbers, so that whoever lays the written layer over the picture gets these bytes;
    Pillow's `alpha_composite` does.
    """
    wide = layer.astype(np.uint32)
    alpha = wide[..., 3:]
    mixed = wide[..., :3] * alpha + picture.astype(np.uint32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)
