"""Finds the latent of a picture: the nearest one that a generator can paint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.tasks import Progress, Stopped, Watch
from limner.tasks._checks import check_whole

if TYPE_CHECKING:
    from limner.generators import Latent
    from limner.picture import Picture

__all__ = ["MOST_STEPS", "Inverted", "again", "check_steps", "invert"]

MOST_STEPS = 10_000


@dataclass(frozen=True, eq=False)
class Inverted:
    """`picture` is what the generator makes of `latent` (one row); `psnr`, in decibels, is between
    it and what was given, brought to its size."""

    picture: Picture
    latent: Latent
    psnr: float


def invert(
    picture: str | Path,
    *,
    generator: str = "latent",
    steps: int | None = None,
    model: str | Path | None = None,
    save: str | Path | None = None,
    watch: Watch | None = None,
) -> Inverted:
    """Finds a generator's latent for a picture, and paints what it shows.

    Args:
        picture: the PNG, JPEG or WebP to look for; its middle, where the generator has one size
        generator: latent, vqgan, vqgan=logits, stylegan (a w for each layer), stylegan=w,
            stylegan=styles or diffusion_autoencoder
        steps: of the search; 300 for stylegan when not given, 20 of the way to its noise for
            diffusion_autoencoder, and none for the others, whose encoder answers at once: steps
            take it nearer
        model: the generator's model: "embedded", a folder or a hub id
        save: a .safetensors file to write of the latent, for interpolate, mix and arithmetic
        watch: called after each step with a Progress; raise in it to stop

    Ctrl-C after the first step raises Stopped, which holds the nearest picture so far; its latent
    is saved. Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.picture import load, psnr
    from limner.tasks._latent_file import Kept, latent_place, save_latent
    from limner.tasks._latents import drawn, recipe_of, space_of
    from limner.tasks._spaces import fitted

    check_steps(steps)
    place = None if save is None else latent_place(save)
    pixels = load(picture).pixels
    space = space_of(generator, [], generator, model)
    steps = space.kind.steps if steps is None else steps
    target = fitted(pixels, space.fitting(pixels))
    size = (target.shape[3], target.shape[2])
    recipe = recipe_of("invert", {"picture": str(picture), "steps": steps}, space, [str(picture)])
    paints = space.at(size)

    latent: Latent = {}
    reached = 0

    def report(step: int, best: Latent) -> None:
        nonlocal latent, reached
        latent, reached = best, step
        if watch is not None:
            watch(Progress(step, steps, lambda: [drawn(paints, best, recipe)]))

    stopped = False
    try:
        latent = space.inverted(target, steps, report)
    except KeyboardInterrupt:
        if not latent:
            raise
        stopped, recipe = True, recipe | {"stopped": reached}
    found = drawn(paints, latent, recipe)
    if place is not None:
        save_latent(place, Kept(space.name, space.model.fingerprint, size, latent))
    if stopped:
        raise Stopped([found])
    return Inverted(found, latent, psnr(found.pixels, target[0]))


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """The picture of a recipe once more, stopped at the same step where Ctrl-C had ended it; no
    CLIP had a part in it."""
    from limner.tasks._latents import unchanged

    said, model = recipe["arguments"], unchanged(recipe, model)
    stopped = recipe.get("stopped")

    def until(progress: Progress) -> None:
        if watch is not None:
            watch(progress)
        if progress.step == stopped:
            raise KeyboardInterrupt

    try:
        found = invert(
            said["picture"],
            generator=said["generator"],
            steps=said["steps"],
            model=model,
            watch=until,
        )
    except Stopped as stop:
        if stopped is None:
            raise
        return stop.pictures
    return [found.picture]


def check_steps(steps: int | None) -> None:
    """BadInput unless it can be an inversion's number of steps."""
    check_whole({"steps": (0 if steps is None else steps, 0, MOST_STEPS)})
