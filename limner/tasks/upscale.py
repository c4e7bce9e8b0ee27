"""A picture made larger: what it lacks at the new size is painted."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import check_unchanged, check_whole, file_hash

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models.upscaler import Upscaler
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "upscale"]

_USUAL, _LONGEST = 512, 8192  # pixels of the longer side
_FACTORS = (2, 4, 8)


def upscale(
    picture: str | Path,
    *,
    to: int | None = None,
    by: int | None = None,
    detail: float = 0.0,
    steps: int = 4,
    augment: float = 0.0,
    tile: int = 512,
    seed: int = 0,
    model: str | Path | Upscaler = "embedded",
    precision: str = "auto",
    watch: Watch | None = None,
) -> Picture:
    """Makes a picture larger: doubles it once or several times, then brings it to the very size.

    The same arguments give the same picture on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to begin with, of any size and shape
        to: pixels of the longer side of what comes out; 512 when neither this nor by is given
        by: 2, 4 or 8: so many times as large, instead
        detail: 0 to 1: at 0 what is most to be expected, nearest to the truth; at 1 one picture of
            those that could be true, crisper, with details that are invented
        steps: steps of the diffusion for each doubling; at detail 0 one is all that is needed
        augment: 0 to 0.1: noise on what one doubling hands to the next, so that it does not trust
            every detail of it; some of it is left in what comes out
        tile: pixels of a side that one pass makes: memory grows with it, and nothing else changes
        seed: of the noise; another seed, other details
        model: "embedded", a folder of limner train upscaler, or what open_upscaler gave
        precision: auto, float32 or bfloat16
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    import torch

    from limner.models._open import number_type
    from limner.models.upscaler import open_upscaler
    from limner.picture import load

    _check(to, by, detail, steps, augment, tile, seed)
    small = load(picture).pixels[None]
    size = _size(small, to, by)
    opened = open_upscaler(model) if isinstance(model, (str, Path)) else model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    opened = opened.to(device, number_type(precision, device))
    said = {"picture": str(picture), "to": to, "by": by, "detail": detail, "steps": steps}
    said |= {"augment": augment, "tile": tile, "seed": seed}
    return _enlarged(opened, small.to(device), size, said, watch)


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: Any,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """The picture of a recipe once more."""
    said = recipe["arguments"]
    named = {"arguments": said | {"model": recipe["model"]["name"]}, "files": recipe["files"]}
    check_unchanged(named, model=model, clip=clip)
    made = upscale(
        said["picture"],
        to=said["to"],
        by=said["by"],
        detail=said["detail"],
        steps=said["steps"],
        augment=said["augment"],
        tile=said["tile"],
        seed=said["seed"],
        model=recipe["model"]["name"] if model is None else model,
        precision=recipe["precision"],
        watch=watch,
    )
    return [made]


def _enlarged(
    model: Upscaler,
    small: Tensor,
    size: tuple[int, int],
    said: dict[str, Any],
    watch: Watch | None,
) -> Picture:
    """The picture (1, 3, h, w) at the size (h, w), with its recipe."""
    import torch

    from limner.noise import Noise
    from limner.picture import Picture, resize
    from limner.tasks import Progress
    from limner.tasks._recipe import recipe_of
    from limner.tasks._upscaled import cascade

    dtype = str(model.dtype).removeprefix("torch.")
    recipe = recipe_of("upscale", said, model, precision=dtype, device=model.device.type)
    recipe |= {"files": {said["picture"]: file_hash(said["picture"])}}
    recipe |= {"batch": [0, 1], "sample": 0}

    def shown(made: Any) -> list[Picture]:
        return [Picture(resize(made(), size)[0].cpu(), recipe)]

    options = {name: said[name] for name in ("steps", "detail", "augment", "tile")}
    stages = max(1, math.ceil(math.log2(max(size) / max(small.shape[-2:]))))
    total = stages * (said["steps"] if said["detail"] else 1)
    made: Any = None
    with torch.no_grad():
        states = cascade(model, small, stages, Noise(said["seed"], [0]), **options)
        for step, made in enumerate(states, 1):
            if watch is not None:
                watch(Progress(step, total, partial(shown, made)))
        (picture,) = shown(made)
    return picture


def _check(
    to: int | None, by: int | None, detail: float, steps: int, augment: float, tile: int, seed: int
) -> None:
    from limner.models.upscaler import MOST_AUGMENT

    if to is not None and by is not None:
        raise BadInput(f"to {to} and by {by}: give one of them")
    if by is not None and by not in _FACTORS:
        raise BadInput(f"by {by}: give 2, 4 or 8, or the longer side's pixels (to)")
    if not 0 <= detail <= 1:
        raise BadInput(f"detail {detail}: give a number from 0 to 1")
    if not 0 <= augment <= MOST_AUGMENT:
        raise BadInput(f"augment {augment}: give a number from 0 to {MOST_AUGMENT:g}")
    bounds = {"steps": (steps, 1, 1000), "tile": (tile, 64, _LONGEST)}
    check_whole(bounds | {"seed": (seed, 0, 2**64 - 1)})


def _size(small: Tensor, to: int | None, by: int | None) -> tuple[int, int]:
    """(h, w) of what comes out of a picture (1, 3, h, w)."""
    from limner.picture import MAX_PIXELS

    height, width = small.shape[-2:]
    longest = max(height, width)
    wanted = (to or _USUAL) if by is None else by * longest
    if wanted <= longest:
        raise BadInput(
            f"the picture is {width}x{height} already: give --to more than {longest} pixels, or "
            "--by 2"
        )
    down, across = (max(1, round(side * wanted / longest)) for side in (height, width))
    if wanted > _LONGEST or down * across > MAX_PIXELS:
        raise BadInput(
            f"{across}x{down} pixels: give a longer side of at most {_LONGEST}, and "
            f"{MAX_PIXELS // 10**6} million pixels in all"
        )
    return down, across
