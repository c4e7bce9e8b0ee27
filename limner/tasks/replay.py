"""Makes a picture again from the recipe inside it, and says whether it is the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["Replay", "replay"]


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
    watch: Watch | None = None,
) -> Replay:
    """Paints a picture again from its recipe and compares.

    First alone; where that differs in the last bits because it was painted among others, once more
    among them.

    Args:
        picture: a PNG that generate wrote
        model: the model when it is not where the recipe says
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when the picture carries no recipe, or one that cannot be followed.
    """
    from limner.picture import load, psnr

    old = load(picture) if isinstance(picture, (str, Path)) else picture
    recipe = _checked(old)
    sample, (start, size) = recipe["sample"], recipe["batch"]
    made = _made(recipe, model, sample, 1, watch)[0]
    if not _agree(old, made) and size > 1:
        made = _made(recipe, model, start, size, watch)[sample - start]
    if made.pixels.shape != old.pixels.shape:
        raise BadInput("the picture is not of the size in its recipe: it was changed afterwards")
    assert made.recipe is not None  # generate always writes one
    same, old_pixels = _agree(old, made), old.pixels
    new_pixels = made.pixels.mul(255).round().div(255)
    return Replay(same, psnr(old_pixels, new_pixels), made, _notes(recipe, made.recipe))


def _agree(old: Picture, new: Picture) -> bool:
    a, b = old.uint8(), new.uint8()
    return a.shape == b.shape and bool((a == b).all())


def _checked(picture: Picture) -> dict[str, Any]:
    """The recipe, when it is whole and one of generate's."""
    where = f"{str(picture.path)!r}" if picture.path else "the picture"
    recipe = picture.recipe
    if recipe is None:
        raise BadInput(f"{where} carries no recipe: only PNG files that limner wrote do")
    if recipe.get("task") != "generate":
        raise BadInput(
            f"{where} has a recipe of the task {recipe.get('task')!r}: expected generate"
        )
    batch, sample = recipe.get("batch"), recipe.get("sample")
    arguments, model = recipe.get("arguments"), recipe.get("model")
    whole = (
        isinstance(arguments, dict)
        and isinstance(model, dict)
        and isinstance(model.get("name"), str)
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
    model: str | Path | TextToImage | None,
    first: int,
    count: int,
    watch: Watch | None,
) -> list[Picture]:
    from limner.tasks.generate import generate

    said = recipe["arguments"]
    name = recipe["model"]["name"]
    if model is None and name != "embedded" and not Path(name).is_dir():
        # A picture may come from anywhere: it must not decide what is fetched from the network.
        raise BadInput(f"the picture was made with {name!r}: give that model yourself (--model)")
    try:
        return generate(
            said["prompt"],
            negative=said["negative"] or None,
            count=count,
            seed=said["seed"],
            first=first,
            steps=said["steps"],
            guidance_scale=said["guidance_scale"],
            guidance_interval=tuple(said["guidance_interval"]),
            guidance_rescale=said["guidance_rescale"],
            sampler=said["sampler"],
            size=tuple(said["size"]),
            model=name if model is None else model,
            precision=recipe["precision"],
            compile=said["compile"],
            watch=watch,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"the recipe cannot be followed ({error!r}): it was changed") from None


def _notes(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """How the recipes differ in what is not an argument."""
    notes = []
    if old["model"].get("fingerprint") != new["model"]["fingerprint"]:
        notes.append("the model's files are not those it was made with")
    for key in ("limner", "torch", "device"):
        if old.get(key) != new[key]:
            notes.append(f"made with {key} {old.get(key)}, now {new[key]}")
    return tuple(notes)
