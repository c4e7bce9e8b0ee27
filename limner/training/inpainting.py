"""The recipe of ``limner train inpainting``: a text-to-image model learns to fill holes.

As Stable Diffusion's was made for it (Rombach et al. 2022, section 4.5): the U-Net is shown, below
x, the mask and the latents of the picture whose masked part is grey; 2c + 1 channels. What is
learned is an adapter, so that the model itself stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.data._decode import fit
from limner.data.world import WorldSource
from limner.errors import BadInput
from limner.training._cached import Cached, cached
from limner.training._conditioned import Base, learn, made_of, open_base
from limner.training._data import drawing
from limner.training._holes import hole
from limner.training._latents import latents_of
from limner.training._processes import processes
from limner.training.loop import Plan, Progress, flush_denormals, open_run
from limner.worlds._scattered import placed
from limner.worlds.scenes import World

__all__ = ["Holes", "inpainting"]

_GREY = 128  # under the mask, as `limner inpaint` shows it: .5
_DROPPED = 0.1  # captions, for guidance
_OUTSIDE = 0.3  # how much what is known counts beside what is to be painted
_EVERYTHING = 0.05  # pictures of which all is to be painted


class Holes:
    """What is shown (see ``Shown``): a mask and the latents of the rest.

    Args:
        kept: arrays ``latents`` (n, c, h, w), ``holes`` (n, v, h, w) bool and ``known``
            (n, v, c, h, w), the latents of the picture grey in each hole; and captions.
        grey: latents (c, h, w) of a picture that is grey all over.
        decode: latents → pictures in [0, 1], for previews.
    """

    kind = "inpainting"

    def __init__(self, kept: Cached, grey: Tensor, decode: Callable[[Tensor], Tensor]) -> None:
        self.arrays, self.captions, self.grey, self.decode = kept.arrays, kept.told, grey, decode
        self.channels, self.size = 1 + len(grey), grey.shape[-1]
        self.extra: Mapping[str, nn.Module] = {}
        self.card: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.captions)

    def rows(
        self, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[dict[str, Tensor], list[str]]:
        holes = self.arrays["holes"]
        chosen = rng.integers(holes.shape[1], size=len(rows))
        every = torch.from_numpy(rng.random(len(rows)) < _EVERYTHING)[:, None, None, None]
        dropped = rng.random(len(rows)) < _DROPPED
        mask = torch.from_numpy(holes[rows, chosen][:, None].astype(np.float32))
        known = torch.from_numpy(self.arrays["known"][rows, chosen].astype(np.float32))
        batch = {
            "latents": torch.from_numpy(self.arrays["latents"][rows].astype(np.float32)),
            "mask": torch.where(every, torch.ones_like(mask), mask),
            "known": torch.where(every, self.grey, known),
        }
        batch["weight"] = _OUTSIDE + (1 - _OUTSIDE) * batch["mask"]
        captions = [self.captions[row] for row in rows.tolist()]
        return batch, ["" if left else text for text, left in zip(captions, dropped, strict=True)]

    def beside(self, batch: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([batch["mask"], batch["known"]], 1)

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.decode(batch["known"])


def inpainting(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    start: str = "embedded",
    rank: int = 8,
    latents: int = 12_000,
    holes: int = 2,
    resume: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Iterator[Progress]:
    """Teach a text-to-image model to fill holes in pictures; ``run/model`` is an adapter.

    Args:
        start: the model that learns: embedded, or a folder in Stable Diffusion's layout; with an
            adapter of it to go on from after a plus: embedded+inpainting, embedded+RUN/model.
        rank: of the changes of each matrix; more learns more and is larger.
        latents: how many pictures are encoded beforehand and learned from in turn.
        holes: how many masks are drawn for each.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    if latents < 1 or holes < 1:
        raise BadInput(f"latents {latents} and holes {holes}: give at least 1 of each")
    base = open_base(start, data.size, Holes.kind, rank)
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    autoencoder = base.parts.autoencoder
    autoencoder.to(processes().device, memory_format=torch.channels_last)
    count = min(latents, len(data))
    told = made_of(base, data.batch(range(min(4, count)))[0], holes=holes, seed=plan.seed)

    def make(rows: range) -> tuple[dict[str, np.ndarray], list[Any]]:
        return _made(data, autoencoder, rows, holes, plan.seed)

    kept = cached(run / "holes", told, count, make, watch)
    shown = Holes(kept, _grey(base, data.size), _decoder(base))
    yield from learn(base, shown, plan, run, rank, resume)


@torch.no_grad()
def _made(
    data: CaptionedPictures, autoencoder: Any, rows: range, holes: int, seed: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Latents of pictures, of what is left of them under holes, and those."""
    pictures, captions, boxes = _pictures(data, rows)
    cell = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    side = pictures.shape[1] // cell
    masks = np.empty((len(rows), holes, side, side), bool)
    for at, row in enumerate(rows):
        rng = drawing(seed, row, 0, "holes")
        for each in range(holes):
            masks[at, each] = hole(side, boxes[at], rng)
    covered = masks.repeat(cell, 2).repeat(cell, 3)[..., None]
    greyed = np.where(covered, np.uint8(_GREY), pictures[:, None])
    known = latents_of(autoencoder, greyed.reshape(-1, *pictures.shape[1:]))
    arrays = {"latents": latents_of(autoencoder, pictures), "holes": masks}
    return arrays | {"known": known.reshape(len(rows), holes, *known.shape[1:])}, captions


def _pictures(
    data: CaptionedPictures, rows: range
) -> tuple[np.ndarray, list[str], list[np.ndarray]]:
    """Pictures uint8 (b, h, w, 3), captions, and where things are: (n, 4) in shares of a side, if
    anyone knows. Those of the world scenes stand anywhere, as holes do."""
    world = data.world if isinstance(data, WorldSource) else None
    if not isinstance(world, World):
        pictures, captions = data.batch(rows)
        return pictures, captions, [np.empty((0, 4))] * len(rows)
    drawn = placed(world, rows)
    fitted = [fit(Image.fromarray(each.picture), data.size) for each in drawn]
    boxes = [each.boxes / each.picture.shape[0] for each in drawn]
    return np.array(fitted, np.uint8), [each.caption for each in drawn], boxes


@torch.no_grad()
def _grey(base: Base, pixels: int) -> Tensor:
    picture = np.full((1, pixels, pixels, 3), _GREY, np.uint8)
    return torch.from_numpy(latents_of(base.parts.autoencoder, picture)[0].astype(np.float32))


def _decoder(base: Base) -> Callable[[Tensor], Tensor]:
    vae = base.parts.autoencoder

    def decode(latents: Tensor) -> Tensor:
        pictures: Tensor = vae.decode(latents.to(vae.device) / vae.config.scaling_factor).sample
        return (pictures / 2 + 0.5).clamp(0, 1).float().cpu()

    return decode
