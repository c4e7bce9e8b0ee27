"""How near a generator comes to pictures that it has not seen: PSNR and SSIM of what
`limner invert` finds."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures import Watch, batches
from limner.measures._share import checked
from limner.measures.reconstruction import ssim
from limner.models.stylegan import StyleGAN
from limner.picture import Picture, grid, psnr
from limner.worlds import faces, scenes

__all__ = ["Inversion", "inversion"]

_SHOWN = 8  # pictures on the sheet


@dataclass(frozen=True)
class Inversion:
    """Means over n pictures; psnr in decibels, with its standard error and the worst picture's.

    seconds: of one picture, those that are inverted together sharing theirs
    """

    psnr: float
    standard_error: float
    worst: float
    ssim: float
    n: int
    generator: str
    model: str
    steps: int
    seconds: float


def inversion(
    generator: str = "stylegan",
    *,
    model: str | Path | None = None,
    steps: int | None = None,
    count: int = 100,
    at_once: int = 8,
    aligned: bool = True,
    vocabulary: str = "core",
    seed: int = 1,
    sheet: Path | None = None,
    watch: Watch | None = None,
) -> Inversion:
    """Inverts held-out pictures of a world: of faces for stylegan, else of scenes.

    Pictures are compared at the size at which they are inverted: a StyleGAN2's own.

    Args:
        generator: as `limner.invert` takes it: stylegan (w+), stylegan=w, latent, vqgan …
        model: the generator's model: "embedded", a folder or a hub id
        steps: of each search; the generator's usual number when not given
        count: how many pictures
        at_once: pictures that are inverted together
        aligned: show faces cut out, eyes level, as the embedded StyleGAN2 has learned them
        vocabulary: of scenes, core or full
        seed: of the world; training's is 0
        sheet: a picture's file, for the first pictures and below each what was found
        watch: called with the pictures done, and their number

    Raises BadInput when an argument, the model or the file cannot be used.
    """
    from limner.tasks._checks import check_writable
    from limner.tasks._latents import space_of
    from limner.tasks._spaces import fitted
    from limner.tasks.invert import check_steps

    checked("count", count, 1, 1_000_000)
    checked("at_once", at_once, 1, 1024)
    check_steps(steps)
    if sheet is not None:
        check_writable(sheet)
    if generator == "stylegan=z":
        raise BadInput("a picture has no z: measure stylegan, stylegan=w or stylegan=styles")
    space = space_of(generator, [], generator, model)
    steps = space.kind.steps if steps is None else steps
    world: faces.World | scenes.World = scenes.World(seed, vocabulary=vocabulary, split="held_out")
    if isinstance(space.model, StyleGAN):
        world = faces.World(seed, split="held_out", aligned=aligned)
    ratios, likeness, spent, shown = list[float](), list[float](), list[float](), list[Tensor]()
    for some in batches(0, count, at_once):
        drawn = torch.from_numpy(world.draw(some).pictures).permute(0, 3, 1, 2) / 255
        size = space.fitting(drawn[0])
        given, began = torch.cat([fitted(each, size) for each in drawn]), time.perf_counter()
        latent = space.inverted(given, steps)
        spent += [(time.perf_counter() - began) / len(some)] * len(some)
        with torch.no_grad():
            found = space.at(size).render(latent).float().cpu().clamp(0, 1)
        ratios += [psnr(a, b) for a, b in zip(given, found)]
        likeness += ssim(given, found).tolist()
        if len(shown) < 2:
            shown = [given[:_SHOWN], found[:_SHOWN]]
        if watch is not None:
            watch(some[-1] + 1, count)
    if sheet is not None:
        pictures = [Picture(each) for rows in shown for each in rows]
        grid(pictures, columns=len(shown[0])).save(sheet)
    return Inversion(
        psnr=statistics.fmean(ratios),
        standard_error=statistics.stdev(ratios) / count**0.5 if count > 1 else 0.0,
        worst=min(ratios),
        ssim=statistics.fmean(likeness),
        n=count,
        generator=space.name,
        model=space.model.name,
        steps=steps,
        seconds=statistics.median(spent),
    )
