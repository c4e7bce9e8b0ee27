"""From one picture to another, through the pictures that lie between their latents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.tasks import Progress, Watch
from limner.tasks._checks import check_whole
from limner.tasks.invert import check_steps

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["Interpolated", "again", "interpolate"]


@dataclass(frozen=True, eq=False)
class Interpolated:
    """`frames`, the two ends among them, and a `sheet` of them all."""

    frames: list[Picture]
    sheet: Picture


def interpolate(
    a: str | Path,
    b: str | Path,
    *,
    frames: int = 9,
    generator: str | None = None,
    steps: int | None = None,
    film: str | Path | None = None,
    model: str | Path | None = None,
    watch: Watch | None = None,
) -> Interpolated:
    """Paints what lies between two pictures, in equal steps of their latents.

    Args:
        a: the first picture, a latent's file that invert saved, or, for stylegan, seed:7
        b: the last one, the same; a picture of another shape is brought to the first's
        frames: how many pictures, both ends included
        generator: latent, vqgan, vqgan=logits, stylegan, stylegan=z, =w or =styles; when not
            given that of the latent files, stylegan for seeds, else latent
        steps: of each inversion; see invert
        film: a .gif or .mp4 to write of the frames
        model: the generator's model: "embedded", a folder or a hub id
        watch: called after each frame with a Progress; raise in it to stop

    Raises BadInput when an argument, a picture, a file or the model is not usable.
    """
    from limner.picture import grid
    from limner.tasks._blend import between
    from limner.tasks._film import MOST_FRAMES, check_film, write_film
    from limner.tasks._latents import drawn, points, recipe_of, space_of

    check_steps(steps)
    check_whole({"frames": (frames, 2, MOST_FRAMES)})
    names = [str(a), str(b)]
    space = space_of(generator, names, "latent", model)
    place = None if film is None else check_film(film, space.own)
    arguments = {"a": names[0], "b": names[1], "frames": frames, "steps": steps, "frame": None}
    recipe = recipe_of("interpolate", arguments, space, names)
    found = points(space, names, steps)
    first, last = found.latents
    made: list[Picture] = []
    for i in range(frames):
        latent = between(first, last, i / (frames - 1), space.kind.round)
        of_frame = recipe | {"arguments": recipe["arguments"] | {"frame": i}}
        made.append(drawn(found.generator, latent, of_frame))
        if watch is not None:
            watch(Progress(i + 1, frames, lambda: made[-1:]))
    sheet = grid(made, labels=[f"{i / (frames - 1):.2f}" for i in range(frames)])
    if place is not None:
        write_film(place, [frame.uint8() for frame in made])
    return Interpolated(made, replace(sheet, recipe=recipe))


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """A recipe's sheet, or the one frame that it says, once more; no CLIP had a part in it."""
    from limner.tasks._latents import unchanged

    said, model = recipe["arguments"], unchanged(recipe, model)
    frame, frames = said["frame"], said["frames"]
    check_whole({"frame": (0 if frame is None else frame, 0, frames - 1)})
    found = interpolate(
        said["a"],
        said["b"],
        frames=frames,
        generator=said["generator"],
        steps=said["steps"],
        model=model,
        watch=watch,
    )
    return [found.sheet if frame is None else found.frames[frame]]
