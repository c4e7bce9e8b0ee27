"""Why a picture came out as it did: where its words looked, and how it came about step by step."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.prompt import PICTURES
from limner.tasks._checks import check_local, check_run

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch
    from limner.tasks._explained import Explained
    from limner.tasks._paint import Plan

__all__ = ["explain"]

_PAINTED = ("generate", "restyle")  # tasks whose pictures are painted again


def explain(
    subject: str,
    *,
    prompt: str | None = None,
    negative: str | None = None,
    seed: int = 0,
    first: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    sampler: str | None = None,
    size: str | tuple[int, int] | None = None,
    model: str | Path | TextToImage | None = None,
    precision: str = "auto",
    watch: Watch | None = None,
) -> Explained:
    """Shows where each word looked while a picture was painted, and each step of it.

    A prompt is painted. A picture of limner generate or restyle is painted again, as its recipe
    says. Any other is looked at: the model is shown it under noise at nine levels, with the prompt
    that is given or, where there is none, that of its recipe.

    Args:
        subject: what to paint, or the PNG, JPEG or WebP to explain
        prompt: words for a picture; it is then looked at, whatever its recipe says
        negative: what to keep away from
        seed: which run; another seed, another picture
        first: number of the picture in its run
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly the words pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        size: width and height in pixels, such as 128x96; the model's own when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave; the
            recipe's, or embedded, when not given
        precision: auto, float32 or bfloat16
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.picture import load
    from limner.tasks._planned import planned

    check_run(1, seed, first)
    picture = load(subject) if subject.lower().endswith(PICTURES) else None
    recipe = None if picture is None else _followed(picture, prompt)
    if picture is None and prompt is not None:
        raise BadInput(
            f"--prompt says what a picture shows, and {subject[:60]!r} is none: give a .png, .jpg "
            "or .webp, or the words alone"
        )
    if recipe is not None and recipe["task"] in _PAINTED and prompt is None:
        return _again(recipe, model, watch)
    words = subject if picture is None else _words(picture, prompt, recipe)
    opened, plan = planned(
        words,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model="embedded" if model is None else model,
    )
    if picture is not None:
        from limner.tasks._looked import looked

        return looked(opened, plan, picture, first, precision, watch)
    said: dict[str, Any] = {
        "seed": seed,
        "first": first,
        "steps": steps,
        "guidance_scale": guidance_scale,
    }
    said |= {"guidance_interval": guidance_interval, "guidance_rescale": guidance_rescale}
    said |= {"negative": negative, "sampler": sampler, "size": size}
    return _painted(opened, plan, said, precision, watch)


def _followed(picture: Picture, prompt: str | None) -> dict[str, Any] | None:
    """The picture's recipe, where it is one that limner wrote and no prompt was given instead."""
    recipe = picture.recipe
    if prompt is not None or recipe is None or not isinstance(recipe.get("arguments"), dict):
        return None
    return recipe if isinstance(recipe["arguments"].get("prompt"), str) else None


def _words(picture: Picture, prompt: str | None, recipe: dict[str, Any] | None) -> str:
    if prompt is not None:
        return prompt
    if recipe is None:
        raise BadInput(f"{str(picture.path)!r} carries no recipe: say what it shows (--prompt)")
    return str(recipe["arguments"]["prompt"])


def _painted(
    opened: TextToImage, plan: Plan, said: dict[str, Any], precision: str, watch: Watch | None
) -> Explained:
    from limner.models._open import placed
    from limner.tasks._explained import noted
    from limner.tasks._looked import Previews, told
    from limner.tasks.generate import generate

    there, previews = placed(opened, precision), Previews(watch)
    with noted(there, plan) as notes:
        made = generate(plan.prompt, **said, model=there, precision=precision, watch=previews)
    return told(made[0], plan.prompt, notes, previews.pictures)


def _again(
    recipe: dict[str, Any], model: str | Path | TextToImage | None, watch: Watch | None
) -> Explained:
    """The recipe's picture, painted alone and not compiled."""
    from limner.models._open import open_model, placed
    from limner.tasks import generate, restyle
    from limner.tasks._explained import noted
    from limner.tasks._looked import Previews, told, whole
    from limner.tasks._paint import Plan

    previews = Previews(watch)
    try:
        said, sample = recipe["arguments"] | {"compile": False}, recipe["sample"]
        name = recipe["model"]["name"] if model is None else model
        if model is None:
            check_local(name, "model")
        opened = open_model(name) if isinstance(name, (str, Path)) else name
        there = placed(opened, recipe["precision"])
        plan = Plan(**{each.name: said[each.name] for each in fields(Plan)})
        low, high = plan.guidance_interval
        plan = replace(plan, guidance_interval=(low, high))
        with noted(there, plan) as notes:
            again = {"generate": generate.again, "restyle": restyle.again}[recipe["task"]]
            samples = range(sample, sample + 1)
            made = again(
                recipe | {"arguments": said}, samples, model=there, clip=None, watch=previews
            )[0]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"the recipe cannot be followed ({error!r}): it was changed") from None
    seen = whole(made, there) if recipe["task"] == "restyle" else None
    return told(made, plan.prompt, notes, previews.pictures, seen)
