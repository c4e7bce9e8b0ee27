"""Pictures of a model without words: what `limner train iddpm`, `score-sde` and `ddgan` learned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner._rooms import names
from limner.errors import BadInput
from limner.tasks._checks import check_local, check_run, check_whole

if TYPE_CHECKING:
    from limner.models.ddgan import Ddgan
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
    model: str | Path | Pixels | Ddgan,
    *,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    watch: Watch | None = None,
) -> list[Picture]:
    """Draws pictures from a model without words; each carries the recipe that makes it again.

    Args:
        model: a folder that limner train iddpm, score-sde or ddgan wrote, or what open_pixels or
            open_ddgan gave
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; 50 when not given, and of a GAN as many as it learned, of which
            others divide that number
        sampler: how to get from noise to a picture: a name in limner/samplers, dpmpp_2m when not
            given; ddpm uses a variance that the model has learned, and a GAN takes no other
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument or the model is not usable.
    """
    import math

    from limner.models.ddgan import Ddgan
    from limner.noise import Noise
    from limner.tasks._drawing import painter_of, sampled
    from limner.tasks._paint import AT_ONCE, Course, paint
    from limner.tasks._parts import Parts

    check_run(count, seed, first)
    check_whole({"steps": (1 if steps is None else steps, 1, 1000)})
    if sampler is not None and sampler not in names("samplers"):
        raise BadInput(f"no sampler {sampler!r}: choose one of {', '.join(names('samplers'))}")
    opened = sampled(model)
    if isinstance(opened, Ddgan) and sampler not in (None, "ddpm"):
        raise BadInput(f"{opened.name!r} draws x0, and {sampler} asks for its mean: give ddpm")
    usual = (opened.count, "ddpm") if isinstance(opened, Ddgan) else (50, "dpmpp_2m")
    steps, sampler = usual[0] if steps is None else steps, sampler or usual[1]
    along = opened.levels(steps)
    shape, spread = (opened.channels, opened.size, opened.size), math.hypot(*along[0])

    def start(noise: Any) -> Any:
        return (noise.normal(shape) * spread).to(opened.device)

    # `paint` asks of model and plan what these have, too: a name, decode, seed, sampler …
    there: Any = opened
    plan: Any = Plan(seed, steps, sampler)
    run = {"count": count, "first": first}
    samples = range(first, first + count)
    chunks = [samples[i : i + AT_ONCE] for i in range(0, count, AT_ONCE)]
    parts = Parts(watch, len(chunks) * steps)
    out: list[Picture] = []
    for chunk in chunks:
        course = Course(painter_of(opened, Noise(seed, chunk)), along, start)
        watcher = parts.next(course.count)
        out += paint(there, plan, chunk, run, watcher, task="sample", course=course)
    return out


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
