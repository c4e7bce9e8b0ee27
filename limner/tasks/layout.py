"""Things in their places: boxes with words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.tasks._checks import check_run

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "layout"]


def layout(
    prompt: str,
    *,
    boxes: str,
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
    size: str | tuple[int, int] | None = None,
    model: str | Path | TextToImage = "embedded",
    precision: str = "auto",
    compile: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints a prompt with things in boxes; where boxes overlap, the smaller one is on top.

    The same arguments give the same pictures on the same machine.

    Args:
        prompt: what is to be seen, in all of the picture: "a cat and a rocket at night"
        boxes: what is where: words, a colon and left, top, right, bottom in shares of the picture,
            with semicolons between: "a cat: .1,.2,.5,.9; a rocket: .6,.1,.9,.6"
        method: regions, by an adapter trained for them, or composed, which any model can: each box
            is painted by its own words; regions where there is an adapter, when not given
        adapter: folder of an adapter (limner train regions), or none; limner's own where it fits
            the model, when not given
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly words and boxes pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        size: width and height in pixels, such as 128x96; the model's own when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        precision: auto, float32 or bfloat16
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, a box or the model is not usable.
    """
    from limner.models._open import placed
    from limner.tasks._paint import paint
    from limner.tasks._planned import planned
    from limner.tasks._regions import boxed, boxes_of, conditioned, course_of, method_of
    from limner.tasks.generate import fitting, size_of

    check_run(count, seed, first)
    found = boxes_of(boxes)
    wanted = None if size is None else size_of(size)
    opened, plan = planned(
        prompt,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=model,
    )
    plan = replace(plan, size=fitting(wanted or plan.size, opened))
    opened = placed(conditioned(opened, method, adapter), precision, compile)
    width, height = (side // opened.downscale for side in plan.size)
    regions = boxed(found, (height, width))
    run: dict[str, Any] = {"boxes": boxes, "method": method_of(opened)}
    run |= {"count": count, "first": first, "compile": compile}
    samples = range(first, first + count)
    course = course_of(opened, plan, regions)
    return paint(opened, plan, samples, run, watch, task="layout", course=course)


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
    return layout(
        boxes=said["boxes"],
        method=said["method"],
        size=tuple(said["size"]),
        watch=watch,
        **shared,
    )
