"""Makes a picture again from the recipe inside it, and says whether it is the same."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["Replay", "replay"]

# Each of these has `again` in `limner/tasks/NAME.py`:
# again(recipe, samples, *, model, clip, watch) -> the pictures of these sample numbers
_TASKS = (
    "adapt",
    "arithmetic",
    "edit",
    "generate",
    "guide",
    "inpaint",
    "interpolate",
    "invert",
    "layout",
    "map",
    "mix",
    "outpaint",
    "paint",
    "restyle",
    "sample",
    "textdiff",
    "unclip",
    "upscale",
    "vary",
)
# Lists of networks beside the model, of which recipes tell.
_OTHERS = ("clips", "identities", "scores", "guides", "controls")


@dataclass(frozen=True)
class Replay:
    """`identical`: every pixel's bytes agree; `psnr` in decibels is infinite then."""

    identical: bool
    psnr: float
    picture: Picture  # made anew
    notes: tuple[str, ...]  # what is not as it was: the model, limner's or torch's version


def replay(
    picture: str | Path | Picture,
    *,
    model: str | Path | TextToImage | None = None,
    clip: str | None = None,
    watch: Watch | None = None,
) -> Replay:
    """Paints a picture again from its recipe and compares.

    First alone; where that differs in the last bits because it was painted among others, once more
    among them, or among as many.

    Args:
        picture: a PNG that generate, paint or edit wrote
        model: the model when it is not where the recipe says
        clip: the CLIPs that were followed, with commas, when they are not where the recipe says
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when the picture carries no recipe, or one that cannot be followed.
    """
    from limner.picture import load, psnr

    old = load(picture) if isinstance(picture, (str, Path)) else picture
    recipe = _checked(old)
    sample, (start, size) = recipe["sample"], recipe["batch"]
    made = _made(recipe, range(sample, sample + 1), model, clip, watch)[0]
    if not _agree(old, made) and size > 1:
        batch = range(start, start + size)
        made = _made(recipe, batch, model, clip, watch)[sample - start]
    if not _agree(old, made) and "among" in recipe:
        made = _among(recipe, model, watch)
    if made.pixels.shape != old.pixels.shape:
        raise BadInput("the picture is not of the size in its recipe: it was changed afterwards")
    assert made.recipe is not None  # a task always writes one
    same, old_pixels = _agree(old, made), old.pixels
    new_pixels = made.pixels.mul(255).round().div(255)
    return Replay(same, psnr(old_pixels, new_pixels), made, _notes(recipe, made.recipe))


def _agree(old: Picture, new: Picture) -> bool:
    a, b = old.uint8(), new.uint8()
    return a.shape == b.shape and bool((a == b).all())


def _checked(picture: Picture) -> dict[str, Any]:
    """The recipe, when it is whole and of a task that can be repeated."""
    where = f"{str(picture.path)!r}" if picture.path else "the picture"
    recipe = picture.recipe
    if recipe is None:
        raise BadInput(f"{where} carries no recipe: only PNG files that limner wrote do")
    if recipe.get("task") not in _TASKS:
        known = " or ".join(_TASKS)
        raise BadInput(f"{where} has a recipe of the task {recipe.get('task')!r}: expected {known}")
    batch, sample = recipe.get("batch"), recipe.get("sample")
    whole = (
        isinstance(recipe.get("arguments"), dict)
        and isinstance(sample, int)
        and isinstance(batch, list)
        and [type(each) for each in batch] == [int, int]
        and 1 <= batch[1] <= 8
        and batch[0] <= sample < batch[0] + batch[1]
    )
    if not whole:
        raise BadInput(f"the recipe in {where} is incomplete: it was changed or cut")
    return recipe


def _made(
    recipe: dict[str, Any],
    samples: range,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    task = importlib.import_module(f"limner.tasks.{recipe['task']}")
    try:
        made: list[Picture] = task.again(recipe, samples, model=model, clip=clip, watch=watch)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"the recipe cannot be followed ({error!r}): it was changed") from None
    return made


def _among(
    recipe: dict[str, Any], model: str | Path | TextToImage | None, watch: Watch | None
) -> Picture:
    """The picture once more as it was painted: in a pass with pictures of other requests."""
    from limner.tasks._side_by_side import again_among

    try:
        return again_among(recipe, model, watch)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"the recipe cannot be followed ({error!r}): it was changed") from None


def _notes(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """How the recipes differ in what is not an argument."""
    notes = []
    if _fingerprints(old) != _fingerprints(new):
        notes.append("the model's files are not those it was made with")
    for key in ("limner", "torch", "device"):
        if old.get(key) != new[key]:
            notes.append(f"made with {key} {old.get(key)}, now {new[key]}")
    return tuple(notes)


def _fingerprints(recipe: dict[str, Any]) -> list[Any]:
    """Of the model, the CLIPs and who tells people apart, where there are any."""
    others = [each for kind in _OTHERS for each in recipe.get(kind) or []]
    networks = [recipe.get("model"), *others]
    return [each.get("fingerprint") for each in networks if isinstance(each, dict)]
