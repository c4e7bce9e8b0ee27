"""From one picture to another, through the pictures that lie between their latents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks import Progress, Watch
from limner.tasks._checks import check_whole
from limner.tasks.invert import check_steps

if TYPE_CHECKING:
    from limner.picture import Picture
    from limner.tasks._between import Asked

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
    space: str | None = None,
    prompt: str = "",
    seed: int = 0,
    guidance_scale: float | None = None,
    decoder: str | None = None,
    model: str | Path | None = None,
    watch: Watch | None = None,
) -> Interpolated:
    """Paints what lies between two pictures, prompts or noises, in equal steps.

    Without a space, it is between the latents of a generator.

    Args:
        a: the first picture, a latent's file that invert saved, or, for stylegan, seed:7; in the
            space words a prompt, in the space noise seed:7
        b: the last one, the same; a picture of another shape is brought to the first's
        frames: how many pictures, both ends included
        generator: latent, vqgan, vqgan=logits, stylegan, stylegan=z, =w or =styles, or
            diffusion_autoencoder; when not given that of the latent files, stylegan for seeds, else
            latent
        steps: of each inversion; see invert
        film: a .gif or .mp4 to write of the frames
        space: clip, between pictures as unCLIP knows them; words, between prompts; noise, between
            what begins pictures of one prompt: all three painted by the diffusion model
        prompt: in the space noise what is painted, in the space clip words for the decoder
        seed: of the noise, in the space words
        guidance_scale: how strongly words and pictures pull; the model's own when not given
        decoder: folder of a decoder (limner train decoder), in the space clip
        model: the generator's model, or in a space the diffusion model: "embedded", a folder or a
            hub id
        watch: called after each frame with a Progress; raise in it to stop

    Raises BadInput when an argument, a picture, a file or the model is not usable.
    """
    from limner.tasks._blend import between
    from limner.tasks._film import MOST_FRAMES, check_film, write_film
    from limner.tasks._latents import drawn, points, recipe_of, space_of

    check_steps(steps)
    check_whole({"frames": (frames, 2, MOST_FRAMES)})
    names = [str(a), str(b)]
    if space is not None:
        if generator is not None:
            raise BadInput(f"the space {space} is painted by diffusion: drop --generator")
        from limner.tasks._between import Asked

        asked = Asked(
            names[0], names[1], space, frames, prompt, seed, steps, guidance_scale, decoder
        )
        return _diffused(asked, model, film, watch)
    own = space_of(generator, names, "latent", model)
    place = None if film is None else check_film(film, own.own)
    arguments = {"a": names[0], "b": names[1], "frames": frames, "steps": steps, "frame": None}
    recipe = recipe_of("interpolate", arguments, own, names)
    found = points(own, names, steps)
    first, last = found.latents
    made: list[Picture] = []
    for i in range(frames):
        latent = between(first, last, i / (frames - 1), own.kind.round)
        of_frame = recipe | {"arguments": recipe["arguments"] | {"frame": i}}
        made.append(drawn(found.generator, latent, of_frame))
        if watch is not None:
            watch(Progress(i + 1, frames, lambda: made[-1:]))
    sheet = _sheet(made)
    if place is not None:
        write_film(place, [frame.uint8() for frame in made])
    return Interpolated(made, replace(sheet, recipe=recipe))


def _diffused(
    asked: Asked, model: str | Path | None, film: str | Path | None, watch: Watch | None
) -> Interpolated:
    """By the diffusion model, in one of its spaces."""
    from limner.tasks._between import painted_between
    from limner.tasks._film import check_film, write_film

    place = None if film is None else check_film(film, (2, 2))  # sides that suit any film
    made = painted_between(asked, model or "embedded", range(asked.frames), watch)
    if place is not None:
        _, height, width = made[0].pixels.shape
        write_film(check_film(place, (width, height)), [frame.uint8() for frame in made])
    return Interpolated(made, _of_all(made))


def _of_all(frames: list[Picture]) -> Picture:
    """The sheet of a diffusion model's frames, with a recipe of its own."""
    own: dict[str, Any] = dict(frames[0].recipe or {})
    arguments = own["arguments"] | {"frame": None}
    return replace(
        _sheet(frames), recipe=own | {"arguments": arguments, "batch": [0, 1], "sample": 0}
    )


def _sheet(frames: list[Picture]) -> Picture:
    from limner.picture import grid

    return grid(frames, labels=[f"{i / (len(frames) - 1):.2f}" for i in range(len(frames))])


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

    if recipe["arguments"].get("space") is not None:
        return _diffused_again(recipe, samples, model, watch)
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


def _diffused_again(
    recipe: dict[str, Any], samples: range, model: str | Path | None, watch: Watch | None
) -> list[Picture]:
    """The same of what the diffusion model painted."""
    from limner.tasks._between import Asked, painted_between
    from limner.tasks._checks import check_files, check_local

    said = recipe["arguments"]
    frame, frames = said["frame"], said["frames"]
    check_whole({"frames": (frames, 2, 10_000), "frame": (frame or 0, 0, frames - 1)})
    if model is None:
        check_local(said["model"], "model")
    check_files(recipe)
    names = ("a", "b", "space", "frames", "prompt", "seed", "steps", "guidance_scale")
    asked = Asked(**{name: said[name] for name in names}, decoder=None)
    which = range(frames) if frame is None else samples
    made = painted_between(asked, model or said["model"], which, watch, recipe["precision"])
    return [_of_all(made)] if frame is None else made
