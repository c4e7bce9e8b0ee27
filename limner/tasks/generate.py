"""From words to pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import MOST_PICTURES, check_files, check_run, check_whole

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.models.controlnet import Control
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "fitting", "generate", "size_of"]

LARGEST_SIDE = 4096


def generate(
    prompt: str,
    *,
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
    best_of: int | None = None,
    control: str | Control | Sequence[str | Control] | None = None,
    precision: str = "auto",
    compile: bool = False,
    low_memory: bool = False,
    fast: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints what the prompt says; each picture carries the recipe that makes it again.

    The same arguments give the same pictures on the same machine, and the same noise on any.
    Picture k of a run is the same whether it is made alone or among others.

    Args:
        prompt: what to paint; parts with weights are composed: "a cat:2 | a dog | snow:-1"
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly the words pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        size: width and height in pixels, such as 128x96; the model's own when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        best_of: paint so many and keep those that CLIP ranks highest, best first
        control: pictures that ControlNets paint by: "MODEL:WEIGHT=PICTURE", in a part of the steps
            "MODEL:WEIGHT:0,0.6=PICTURE", by its edges "MODEL=canny:PICTURE"
        precision: auto, float32, bfloat16, or int8: large weights in eight bits
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        low_memory: one network in memory at a time, and large pictures decoded in tiles
        fast: paint in a few steps, with the model's student (see `limner train student`)
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument or the model is not usable.
    """
    from limner.models._open import placed
    from limner.tasks._controls import controls_of, steering
    from limner.tasks._paint import from_noise, paint
    from limner.tasks._planned import planned

    check_run(count, seed, first)
    check_whole({"best-of": (count if best_of is None else best_of, count, MOST_PICTURES)})
    wanted, pictured = None if size is None else size_of(size), controls_of(control)
    opened, plan = planned(
        prompt,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=_quick(model) if fast else model,
        precision=precision,
        low_memory=low_memory,
    )
    plan = replace(plan, size=fitting(wanted or plan.size, opened))
    run = {"count": count, "first": first, "best_of": best_of, "compile": compile}
    run["low_memory"] = low_memory
    opened = placed(opened, precision, compile)
    controls = steering(pictured, opened)
    pictures = paint(
        opened,
        plan,
        range(first, first + (best_of or count)),
        run | {"control": controls.arguments()},
        watch,
        course=from_noise(opened, plan, controls=controls),
        files=controls.files() or None,
        controls=controls,
    )
    return _best(pictures, prompt, count) if best_of is not None else pictures


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more; no CLIP had a part in them."""
    from limner.tasks._controls import controls_again
    from limner.tasks._planned import told_again

    said, shared = recipe["arguments"], told_again(recipe, samples, model)
    check_files({"files": {}} | recipe)
    return generate(
        size=tuple(said["size"]),
        control=controls_again(said),
        low_memory=said.get("low_memory", False),
        watch=watch,
        **shared,
    )


def size_of(size: str | tuple[int, int]) -> tuple[int, int]:
    """ "128x96" or (128, 96): width and height in pixels. Raises BadInput."""
    if isinstance(size, str):
        found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", size.strip().lower())
        pair = [int(side) for side in found.groups()] if found else []
    else:
        pair = [side for side in size if isinstance(side, int)]
    if len(pair) != 2 or not all(1 <= side <= LARGEST_SIDE for side in pair):
        raise BadInput(f"size {size!r}: give width x height up to {LARGEST_SIDE}, such as 128x96")
    return pair[0], pair[1]


def _quick(model: str | Path | TextToImage) -> str | TextToImage:
    """A model with the student that comes with limner."""
    from limner.models.adapter import open_adapter

    student = "student"
    return f"{model}+{student}" if isinstance(model, (str, Path)) else open_adapter(student, model)


def fitting(size: tuple[int, int], model: TextToImage) -> tuple[int, int]:
    """The size, when the model can paint it."""
    by = model.downscale
    if size[0] % by or size[1] % by:
        near = "x".join(str(max(by, round(side / by) * by)) for side in size)
        raise BadInput(
            f"size {size[0]}x{size[1]}: {model.name!r} paints multiples of {by}, such as {near}"
        )
    return size


def _best(pictures: list[Picture], prompt: str, count: int) -> list[Picture]:
    """Those that CLIP finds most like the prompt, best first."""
    from limner.tasks.rank import rank

    return [ranked.picture for ranked in rank(prompt, pictures)[:count]]
