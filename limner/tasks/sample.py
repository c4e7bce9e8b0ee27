"""Pictures of a model without words: what `limner train iddpm` and `score_sde` learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner._rooms import names
from limner.errors import BadInput
from limner.tasks._checks import check_local, check_run, check_whole

if TYPE_CHECKING:
    from limner.models.pixels import Pixels
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "sample"]


@dataclass(frozen=True)
class Plan:
    """What to draw, every value settled: the task's arguments by the same names."""

    seed: int
    steps: int
    sampler: str


def sample(
    model: str | Path | Pixels,
    *,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    steps: int = 50,
    sampler: str = "dpmpp_2m",
    watch: Watch | None = None,
) -> list[Picture]:
    """Draws pictures from a model without words; each carries the recipe that makes it again.

    Args:
        model: a folder that limner train iddpm or score_sde wrote, or what open_pixels gave
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler
        sampler: how to get from noise to a picture: a name in limner/samplers
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument or the model is not usable.
    """
    import math

    from limner.tasks._drawing import denoiser_of, placed
    from limner.tasks._paint import Course, paint

    check_run(count, seed, first)
    check_whole({"steps": (steps, 1, 1000)})
    if sampler not in names("samplers"):
        raise BadInput(f"no sampler {sampler!r}: choose one of {', '.join(names('samplers'))}")
    opened = placed(model)
    along = opened.levels(steps)
    shape, spread = (opened.channels, opened.size, opened.size), math.hypot(*along[0])

    def start(noise: Any) -> Any:
        return (noise.normal(shape) * spread).to(opened.device)

    # `paint` asks of model and plan what these have, too: a name, decode, seed, sampler …
    there: Any = opened
    plan: Any = Plan(seed, steps, sampler)
    run = {"count": count, "first": first}
    course = Course(denoiser_of(opened), along, start)
    return paint(there, plan, range(first, first + count), run, watch, task="sample", course=course)


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: Any,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more; no CLIP had a part in them."""
    said, name = recipe["arguments"], recipe["model"]["name"]
    if model is None:
        check_local(name, "model")
    return sample(
        name if model is None else model,
        count=len(samples),
        seed=said["seed"],
        first=samples.start,
        steps=said["steps"],
        sampler=said["sampler"],
        watch=watch,
    )
