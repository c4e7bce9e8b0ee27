"""Moves a generator's weights as words say: a generator of its own comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.prompt import check
from limner.tasks import Stopped, Watch
from limner.tasks._checks import check_unchanged, check_whole, clip_names

if TYPE_CHECKING:
    from limner.models.stylegan import StyleGAN
    from limner.picture import Picture
    from limner.tasks._adapted import Plan

__all__ = ["Adapted", "adapt", "again"]

GENERATORS = ("stylegan",)
MOST_STEPS, MOST_BATCH, MOST_VIEWS, MOST_PICTURES = 10_000, 256, 1024, 64
MOST_LAYERS = 32  # no model has more


@dataclass(frozen=True, eq=False)
class Adapted:
    """The generator `model`, and pictures of the same w and noise by the old one and by it; `sheet`
    shows them one above the other."""

    model: StyleGAN
    before: list[Picture]
    after: list[Picture]
    sheet: Picture


def adapt(
    source: str,
    target: str,
    *,
    generator: str = "stylegan",
    model: str | Path | None = None,
    clip: str | Sequence[str] | None = None,
    layers: int | None = None,
    choice_every: int = 1,
    choice_steps: int = 1,
    choice_batch: int = 8,
    batch: int = 2,
    steps: int = 120,
    rate: float = 0.01,
    views: int = 2,
    count: int = 8,
    truncation: float = 0.7,
    seed: int = 0,
    output: str | Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Adapted:
    """Moves a generator's weights until its pictures have changed as the words do (StyleGAN-NADA).

    The same arguments give the same bytes on the same machine; so does a search that was stopped
    and gone on with.

    Args:
        source: what the generator paints, such as "a photo"
        target: what it is to paint, such as "a pencil sketch"
        generator: stylegan
        model: the generator's model: "embedded", a folder or a hub id
        clip: the CLIPs that are followed: names of limner's own, folders or hub ids, with commas;
            the one for faces where it is here
        layers: how many layers a step moves; two thirds of them when not given, all is quickest
        choice_every: steps after which the layers are chosen anew
        choice_steps: steps on w+ that a choice of layers takes
        choice_batch: samples that a choice of layers is made by
        batch: pictures in a step
        steps: steps of the search; more change more, and leave less of what there was
        rate: Adam's learning rate; published networks of 1024 pixels want the paper's .0016
        views: 1 judges pictures as they are; more, so many random views of each
        count: how many pictures the sheet has of each generator
        truncation: psi of the sheet's pictures, 0 to 1
        seed: of all that is drawn at random
        output: a folder to write: the generator, its card, the sheet, and the search as it goes on
        resume: go on with the search in that folder, whose generator was begun alike; steps may
            be more than they were
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the folder or a model is not usable.
    """
    from limner.tasks._adapted import Plan, keep, opened, place_of, run

    check_whole({"steps": (steps, 1, MOST_STEPS), "count": (count, 1, MOST_PICTURES)})
    plan = Plan(
        source=source,
        target=target,
        generator=generator,
        model="embedded" if model is None else str(model),
        clip=_followed(clip),
        layers=layers,
        choice_every=choice_every,
        choice_steps=choice_steps,
        choice_batch=choice_batch,
        batch=batch,
        steps=steps,
        rate=rate,
        views=views,
        truncation=truncation,
        seed=seed,
    )
    _check(plan)
    place, samples = place_of(output, resume), range(count)
    parts = opened(plan)
    state, stopped = run(parts, samples, place=place, resume=resume, watch=watch)
    made = parts.adapting.adapted(state)
    before = parts.pictures(parts.adapting.model, 0, samples)
    after = parts.pictures(made, state.step, samples)
    sheet = parts.sheet(before, after)
    if place is not None:
        made = keep(parts, place, state, sheet)
    if stopped:
        raise Stopped(after)
    return Adapted(made, before, after, sheet)


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's generator once more: it is adapted anew."""
    from limner.tasks._adapted import Plan, opened, run

    said = dict(recipe["arguments"])
    check_unchanged(recipe, model=model, clip=clip)
    said["model"] = str(said["model"] if model is None else model)
    said["clip"] = clip_names(said["clip"] if clip is None else clip)
    plan = Plan(**said)
    _check(plan)
    parts = opened(plan)
    state, stopped = run(parts, samples, place=None, resume=False, watch=watch)
    if stopped:
        raise KeyboardInterrupt
    return parts.pictures(parts.adapting.adapted(state), state.step, samples)


def _check(plan: Plan) -> None:
    """BadInput for values that cannot be, before anything is opened."""
    check(plan.source, "source")
    check(plan.target, "target")
    if plan.generator not in GENERATORS:
        known = ", ".join(GENERATORS)
        raise BadInput(f"no weights of a generator {plan.generator!r} to adapt: choose of {known}")
    check_whole(
        {
            "layers": (1 if plan.layers is None else plan.layers, 1, MOST_LAYERS),
            "choice-every": (plan.choice_every, 1, MOST_STEPS),
            "choice-steps": (plan.choice_steps, 1, MOST_STEPS),
            "choice-batch": (plan.choice_batch, 1, MOST_BATCH),
            "batch": (plan.batch, 1, MOST_BATCH),
            "steps": (plan.steps, 0, MOST_STEPS),
            "views": (plan.views, 1, MOST_VIEWS),
            "seed": (plan.seed, 0, 2**64 - 1),
        }
    )
    if not 0 < plan.rate < math.inf:
        raise BadInput(f"rate {plan.rate}: give a positive number, such as 0.01")
    if not 0 <= plan.truncation <= 1:
        raise BadInput(f"truncation {plan.truncation}: give a number from 0 to 1")


def _followed(clip: str | Sequence[str] | None) -> tuple[str, ...]:
    """The CLIPs by name; the one of faces, or those that searches follow, where none is given."""
    from limner.models.embedded import facing

    return clip_names(facing() if clip is None else clip)
