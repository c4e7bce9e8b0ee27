"""From a semantic map to a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.tasks._checks import check_files, check_run, file_hash

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "map"]


def map(
    picture: str | Path,
    prompt: str = "",
    *,
    legend: str | None = None,
    method: str | None = None,
    adapter: str | None = None,
    negative: str | None = None,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    sampler: str | None = None,
    model: str | Path | TextToImage = "embedded",
    precision: str = "auto",
    compile: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints what a semantic map shows: a picture whose numbers or colours name what is where.

    The same arguments give the same pictures on the same machine.

    Args:
        picture: the map: a PNG of grey or palette numbers, or of colours, without soft edges; 0, or
            black, is left to the model
        prompt: what is to be seen, in all of the picture; what the map names when not given
        legend: what the numbers or colours are: "1: a cat; 2: grass", or "#ff0000: a cat"; those of
            limner world scenes when not given
        method: regions, by an adapter trained for them, or composed, which any model can: each
            region is painted by its own words; regions where there is an adapter, when not given
        adapter: folder of an adapter (limner train regions), or none; limner's own where it fits
            the model, when not given
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly words and map pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        precision: auto, float32 or bfloat16
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the map, a class in it or the model is not usable.
    """
    from limner.models._open import placed
    from limner.tasks._legend import classes_of, legend_of, map_regions, said_of
    from limner.tasks._paint import paint
    from limner.tasks._planned import planned
    from limner.tasks._regions import conditioned, course_of, method_of

    check_run(count, seed, first)
    named = legend_of(legend)
    classes = classes_of(picture, named)
    opened, plan = planned(
        prompt or said_of(classes, named),
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=model,
    )
    plan = replace(plan, size=_size(classes.shape, opened))
    opened = placed(conditioned(opened, method, adapter), precision, compile)
    width, height = (side // opened.downscale for side in plan.size)
    regions = map_regions(classes, named, (height, width))
    run: dict[str, Any] = {"picture": str(picture), "legend": legend, "method": method_of(opened)}
    run |= {"count": count, "first": first, "compile": compile}
    return paint(
        opened,
        plan,
        range(first, first + count),
        run,
        watch,
        task="map",
        course=course_of(opened, plan, regions),
        files={str(picture): file_hash(str(picture))},
    )


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more."""
    from limner.tasks._planned import told_again

    said, shared = recipe["arguments"], told_again(recipe, samples, model)
    check_files(recipe)
    return map(
        picture=said["picture"],
        legend=said["legend"],
        method=said["method"],
        watch=watch,
        **shared,
    )


def _size(shape: tuple[int, ...], model: TextToImage) -> tuple[int, int]:
    """Width and height to paint: the map's proportions, its longer side the model's size."""
    height, width = shape
    by, longest = model.downscale, max(shape)
    sides = (max(by, round(side / longest * model.size / by) * by) for side in (width, height))
    across, down = sides
    return across, down
