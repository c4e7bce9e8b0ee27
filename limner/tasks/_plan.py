"""What a search is to paint, with every value settled; and the networks and files it names."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from limner._rooms import names
from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.models._open import number_type, open_model
from limner.models._text_to_image import TextToImage
from limner.models.clip import open_clip
from limner.picture import load, resize
from limner.prompt import parse
from limner.tasks._checks import file_hash
from limner.tasks._generators import GENERATORS, Wanted, begun_at, colours, usual
from limner.tasks._judges import Bench, check_named, counting, identities, named
from limner.tasks._recipe import recipe_of, told
from limner.tasks._schedule import stages
from limner.tasks._scored import Scorer

__all__ = ["Opened", "Plan", "check_plan", "opened"]


@dataclass(frozen=True)
class Plan:
    """The task's arguments by the same names; None is what the generator has no use for."""

    prompt: str
    schedule: str | None
    generator: str
    grid: str | None
    palette: str | None
    strokes: int | None
    model: str | None
    size: tuple[int, int]  # width, height in pixels
    start: str | None
    mask: str | None
    search: str
    steps: int
    rate: float
    judge: tuple[str, ...]
    clip: tuple[str, ...]
    views: int
    views_at_once: int | None
    precision: str  # float32 or bfloat16
    seed: int


@dataclass(frozen=True, eq=False)
class Opened:
    """The plan's parts.

    begin:   the latent of the picture to start from, one row, or None
    recipe:  what every picture's recipe says
    """

    generator: Generator
    bench: Bench
    begin: Latent | None
    recipe: dict[str, Any]


def check_plan(plan: Plan) -> None:
    """BadInput for values that do not go together, before anything is opened."""
    judges = named(plan.judge)
    stages(plan.prompt, plan.schedule, plan.steps)
    if plan.palette is not None:
        colours(plan.palette)
    check_named(judges, start=plan.start is not None, palette=plan.palette is not None)
    has_palette = plan.generator == "grid" or "palette" in {each.name for each in judges}
    models = [name for name, each in GENERATORS.items() if each.opens]
    idle = {
        "grid": (plan.grid, plan.generator == "grid", "the generator grid"),
        "strokes": (plan.strokes, plan.generator == "strokes", "the generator strokes"),
        "palette": (plan.palette, has_palette, "the generator grid and the judge palette"),
        "model": (plan.model, plan.generator in models, f"the generator {', '.join(models)}"),
    }
    for name, (value, used, whose) in idle.items():
        if value is not None and not used:
            raise BadInput(f"{name} {value!r} is for {whose}: leave it out")
    if plan.search not in names("searches"):
        raise BadInput(f"no search {plan.search!r}: choose of {', '.join(names('searches'))}")
    if plan.search == "evolve" and (plan.schedule is not None or plan.rate != 1):
        raise BadInput("evolve takes no schedule and no rate: leave them out, or descend")
    if plan.search == "evolve" and usual(plan.generator).bounds is None:
        raise BadInput(f"{plan.generator} has too many parts to be bred: use --search descend")


def opened(plan: Plan) -> Opened:
    """Opens and makes all that the plan names. Raises BadInput for what is not usable."""
    kind = usual(plan.generator)
    files = {name: file_hash(name) for name in _files_of(plan)}
    start = None if plan.start is None else resize(load(plan.start).pixels, _shape(plan))[None]
    mask = None if plan.mask is None else _mask(plan.mask, plan)
    palette = None if plan.palette is None else colours(plan.palette)
    dtype = number_type(plan.precision, "cpu")
    model = kind.opens(plan.model).to("cpu", dtype) if kind.opens and plan.model else None
    wanted = Wanted(plan.size, plan.grid or "", palette, plan.strokes or 0, model)
    generator = kind.make(wanted)
    begin = None if start is None else begun_at(generator, plan.generator, start)
    clips = [replace(open_clip(name), judges_in=dtype) for name in plan.clip]
    recipe = recipe_of("paint", asdict(plan), model, precision=plan.precision)
    recipe |= {"clips": [told(clip) for clip in clips], "files": files}
    judges = counting(named(plan.judge))
    people = identities(judges)
    if people:
        recipe["identities"] = [told(each) for each in people.values()]
    scorer = _scorer(plan, model, dtype) if "score" in {each.name for each in judges} else None
    if scorer:
        recipe["scores"] = [told(scorer.model)]
    views = (plan.views, plan.views_at_once, kind.camera)
    bench = Bench(clips, *views, start, mask, palette, people, scorer)
    return Opened(generator, bench, begin, recipe)


def _scorer(plan: Plan, model: object, dtype: torch.dtype) -> Scorer:
    """Of the text-to-image model that the generator paints with, or of limner's own."""
    if not isinstance(model, TextToImage):
        model = open_model("embedded").to("cpu", dtype)
    return Scorer(model, plan.steps, plan.size)


def _files_of(plan: Plan) -> list[str]:
    """The pictures that the plan reads: of prompts, to start from, the mask."""
    phrases = [
        str(phrase.picture)
        for stage in stages(plan.prompt, plan.schedule, plan.steps)
        for phrase in parse(stage.prompt)
        if phrase.picture is not None
    ]
    return sorted({*phrases, *(name for name in (plan.start, plan.mask) if name is not None)})


def _shape(plan: Plan) -> tuple[int, int]:
    """(h, w)"""
    return plan.size[1], plan.size[0]


def _mask(name: str, plan: Plan) -> Tensor:
    """(1, 1, h, w) in [0, 1]: a picture's grey values. BadInput when it is of another size."""
    pixels = load(name).pixels
    if tuple(pixels.shape[1:]) != _shape(plan):
        width, height = plan.size
        raise BadInput(
            f"the mask {name!r} is {pixels.shape[2]}x{pixels.shape[1]} and the picture "
            f"{width}x{height}: give a mask of that size, or --size"
        )
    mask = pixels.mean(0)[None, None]
    if not bool(mask.any()):
        raise BadInput(f"the mask {name!r} is black all over: what is to be painted is white")
    return mask
