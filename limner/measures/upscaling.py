"""How near enlarged pictures are to true large ones, beside plain interpolation.

Unseen scenes are drawn with 512 pixels, made small to 256 and 128, and enlarged again by each way.
Likeness to the truth is PSNR and SSIM; likeness to true pictures is the Fréchet distance in CLIP's
features: of whole pictures, and of parts of 64 pixels as they are, since a CLIP that is shown 64
pixels of 512 sees nothing of what is fine (Chai et al. 2022, "Any-resolution training", measure
parts for this reason).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.measures import Watch
from limner.measures._share import checked
from limner.measures.frechet import distance, fit
from limner.measures.reconstruction import ssim
from limner.models._open import number_type
from limner.models.clip import Clip, open_clip
from limner.models.upscaler import Upscaler, halved, open_upscaler
from limner.noise import Noise
from limner.picture import Picture, psnr
from limner.tasks._upscaled import TILE, cascade
from limner.worlds.scenes import World

__all__ = ["Enlarged", "Upscaling", "upscaling"]

_SMALL, _LARGE = 128, 512
_PART, _PARTS = 64, 8  # side of the parts, and how many of each picture
_PLAIN = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}

Way = Callable[[Tensor], Tensor]  # (1, 3, h, w) in [0, 1], 8 bits → (1, 3, s·h, s·w)


@dataclass(frozen=True)
class Enlarged:
    """One way at one factor: means over the pictures, psnr in decibels with its standard error."""

    psnr: float
    standard_error: float
    ssim: float
    frechet: float
    frechet_parts: float


@dataclass(frozen=True)
class Upscaling:
    """`ways["128 to 512"]["lanczos"]`, and so on, over n unseen scenes."""

    ways: dict[str, dict[str, Enlarged]]
    n: int
    model: str
    clip: str

    def told(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(eq=False)
class _Kept:
    """What is gathered of one way."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    whole: list[Tensor] = field(default_factory=list)
    parts: list[Tensor] = field(default_factory=list)


@torch.no_grad()
def upscaling(
    model: str | Path | Upscaler = "embedded",
    *,
    count: int = 64,
    seed: int = 1,
    details: tuple[float, ...] = (0.0, 0.5, 1.0),
    steps: int = 4,
    augment: float = 0.0,
    clip: str | Path | Clip = "embedded",
    watch: Watch | None = None,
) -> Upscaling:
    """Enlarges unseen scenes from 128 pixels to 256 and to 512, by each way.

    Args:
        model: "embedded", a folder of limner train upscaler, or what open_upscaler gave
        count: how many scenes
        seed: of the world; training's is 0
        details, steps, augment: of `limner upscale`; each detail is a way of its own
        clip: "embedded", a folder or hub id of a transformers CLIPModel, or what open_clip gave
        watch: called with the scenes done and their number

    Raises BadInput when a model cannot be opened.
    """
    checked("count", count, 2, 100_000)
    opened = open_upscaler(model) if isinstance(model, (str, Path)) else model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    opened = opened.to(device, number_type("auto", device))
    looking = open_clip(clip) if isinstance(clip, (str, Path)) else clip
    world = World(seed, split="held_out", scale=_LARGE // 128)
    kept: dict[str, dict[str, _Kept]] = {}
    for index in range(count):
        large = torch.from_numpy(world.draw([index]).pictures).permute(0, 3, 1, 2) / 255
        middle = halved(large)
        given = (halved(middle) * 255).round() / 255
        for stages, truth in enumerate((middle, large), 1):
            ways = kept.setdefault(f"{_SMALL} to {truth.shape[-1]}", {})
            made = {"truth": truth} | {
                name: way(given)
                for name, way in _ways(opened, stages, index, details, steps, augment).items()
            }
            places = _places(seed, index, truth.shape[-1])
            for name, pixels in made.items():
                _look(ways.setdefault(name, _Kept()), pixels, truth, places, looking)
        if watch is not None:
            watch(index + 1, count)
    found = {
        factor: {name: _told(each, ways["truth"]) for name, each in ways.items() if name != "truth"}
        for factor, ways in kept.items()
    }
    return Upscaling(found, count, opened.name, looking.name)


def _ways(
    model: Upscaler,
    stages: int,
    index: int,
    details: tuple[float, ...],
    steps: int,
    augment: float,
) -> dict[str, Way]:
    side = _SMALL * 2**stages
    plain: dict[str, Way] = {name: partial(_plain, kind, side) for name, kind in _PLAIN.items()}

    def painted(detail: float, given: Tensor) -> Tensor:
        options: dict[str, Any] = dict(steps=steps, detail=detail, augment=augment, tile=TILE)
        *_, last = cascade(model, given.to(model.device), stages, Noise(0, [index]), **options)
        return last().cpu()

    return plain | {f"detail {each:g}": partial(painted, each) for each in details}


def _plain(kind: Image.Resampling, side: int, given: Tensor) -> Tensor:
    """Pillow's interpolation, of 8 bits to 8 bits."""
    made = np.asarray(Picture(given[0]).image().resize((side, side), kind))
    return torch.from_numpy(made.copy()).permute(2, 0, 1)[None] / 255


def _places(seed: int, index: int, side: int) -> np.ndarray:
    """Corners (parts, 2) of the parts that are looked at, the same in all ways."""
    return np.random.default_rng([seed, index]).integers(0, side - _PART + 1, (_PARTS, 2))


def _look(kept: _Kept, pixels: Tensor, truth: Tensor, places: np.ndarray, clip: Clip) -> None:
    kept.psnr.append(psnr(pixels, truth))
    kept.ssim += ssim(pixels, truth).tolist()
    parts = [pixels[:, :, y : y + _PART, x : x + _PART] for y, x in places.tolist()]
    kept.whole.append(clip.embed_pictures(pixels))
    kept.parts.append(clip.embed_pictures(torch.cat(parts)))


def _told(kept: _Kept, truths: _Kept) -> Enlarged:
    apart = [
        distance(fit([torch.cat(a)], lambda told: told), fit([torch.cat(b)], lambda told: told))
        for a, b in ((kept.whole, truths.whole), (kept.parts, truths.parts))
    ]
    values = torch.tensor(kept.psnr)
    error = float(values.std()) / len(values) ** 0.5
    return Enlarged(float(values.mean()), error, sum(kept.ssim) / len(kept.ssim), *apart)
