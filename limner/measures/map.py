"""Is what a map names where it says? Painted maps, judged pixel by pixel.

The maps are those of the world's own pictures: held-out scenes with one to four things anywhere
(`_things.py`). What is painted is named pixel by pixel by the eye of `compose`, which knows how
many things to look for and nothing else of the map; the same eye looks at the true pictures.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.measures import Watch
from limner.measures._eye import Eye
from limner.measures._painted import Kept
from limner.measures._share import checked
from limner.measures._templates import RES
from limner.measures._things import Asked, about, asked, look, paint_all, pixels_of
from limner.models._text_to_image import TextToImage
from limner.picture import Picture
from limner.worlds import _vocabulary as words
from limner.worlds._scattered import named
from limner.worlds.scenes import SIDE

__all__ = ["Agreement", "Maps", "map"]


@dataclass(frozen=True)
class Agreement:
    """Of one picture's pixels, the shares that the eye names as the map does."""

    prompt: str
    all: float
    things: float  # of those of things
    ground: float  # of those of the background: nothing stands there, and it is of its kind


@dataclass(frozen=True)
class Maps:
    """Means over pictures, with the standard error of `all`; `eye` on the true pictures."""

    model: str
    method: str
    seed: int
    n: int
    all: float
    standard_error: float
    things: float
    ground: float
    eye: float
    eye_things: float
    pictures: tuple[Agreement, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def map(
    model: str | Path | TextToImage = "embedded",
    *,
    adapter: str | None = None,
    method: str | None = None,
    count: int = 64,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Maps:
    """Paints held-out maps by `limner.map` and reports how many pixels are what they should be.

    Args:
        model: "embedded", a folder, a hub id, or what open_model gave
        adapter: as of `limner.map`
        method: as of `limner.map`
        count: how many maps
        seed: of the painting
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted and their number

    Raises BadInput when the model, the adapter, the font or the folder cannot be used.
    """
    from limner.models._open import open_model
    from limner.tasks import map as task
    from limner.tasks._regions import conditioned, method_of

    checked("count", count, 1, 100_000)
    eye, scenes = Eye(), asked(count)
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    opened = conditioned(opened, method, adapter)
    way = method_of(opened)
    kept = Kept(folder, about(opened, seed, f"map {way}")) if folder else None

    with tempfile.TemporaryDirectory() as here:
        place = Path(here) / "map.png"

        def one(each: Asked) -> Picture:
            Image.fromarray(classes(each)).save(place)
            first = int(each.name[:5])
            return task.map(
                place, legend=legend(each), first=first, method=way, seed=seed, model=opened
            )[0]

        pictures = paint_all(scenes, one, kept, watch)
    found = [_agreement(eye, each, picture) for each, picture in zip(scenes, pictures)]
    true = [_agreement(eye, each, Picture(pixels_of(each.scene))) for each in scenes]
    of_all = [each.all for each in found]
    return Maps(
        model=f"{opened.name} {opened.fingerprint[:16]}",
        method=way,
        seed=seed,
        n=count,
        all=float(np.mean(of_all)),
        standard_error=float(np.std(of_all) / np.sqrt(count)),
        things=float(np.mean([each.things for each in found])),
        ground=float(np.mean([each.ground for each in found])),
        eye=float(np.mean([each.all for each in true])),
        eye_things=float(np.mean([each.things for each in true])),
        pictures=tuple(found),
    )


def classes(each: Asked) -> np.ndarray:
    """The map, uint8 (128, 128): things from 1, then the background, 0 where that is plain."""
    masks = each.scene.masks
    out = np.zeros(masks.shape[1:], np.uint8)
    if _phrase(each):
        out[:] = 1 + len(masks)
    for number, mask in enumerate(masks, 1):
        out[mask] = number
    return out


def legend(each: Asked) -> str:
    """As `limner map --legend` takes it."""
    names = [*(named(thing) for thing in each.scene.things), _phrase(each)]
    return "; ".join(f"{number}: {name}" for number, name in enumerate(names, 1) if name)


def _phrase(each: Asked) -> str:
    return words.BACKGROUNDS[each.scene.background][0]


def _agreement(eye: Eye, each: Asked, picture: Picture) -> Agreement:
    """Pixel by pixel of RES × RES, each of which is what most of it is."""
    seen = look(eye, picture.pixels, len(each.scene.things))
    names = [thing.noun for thing in each.scene.things]
    true = torch.from_numpy(_small(each.scene.masks))
    said: list[tuple[str, Tensor]] = [
        (found.found.thing.noun, found.found.cover >= 0.5) for found in seen.things if found.there
    ]
    empty = ~torch.stack([torch.zeros(RES, RES, dtype=torch.bool), *(m for _, m in said)]).any(0)
    behind = ~true.any(0)
    right_ground = empty & behind & torch.tensor(seen.background == each.scene.background)
    right = torch.zeros(RES, RES, dtype=torch.bool)
    for name, mask in zip(names, true, strict=True):
        for noun, there in said:
            if noun == name:
                right |= mask & there
    things = float((right & ~behind).sum() / (~behind).sum())
    ground = float(right_ground.sum() / behind.sum().clamp(min=1))
    return Agreement(
        each.scene.caption, float((right | right_ground).float().mean()), things, ground
    )


def _small(masks: np.ndarray) -> np.ndarray:
    """bool (n, 128, 128) → (n, RES, RES): what most of a pixel is."""
    by = SIDE // RES
    shares = masks.reshape(len(masks), RES, by, RES, by).mean((2, 4))
    most = shares.argmax(0)[None] == np.arange(len(masks))[:, None, None]
    small: np.ndarray = most & (shares.sum(0) >= 0.5)
    return small
