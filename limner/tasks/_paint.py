"""The painting itself: a checked plan and an opened model → pictures, eight at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from limner._rooms import find
from limner.denoisers import Conditional, Denoiser
from limner.denoisers.cfg import CFG
from limner.denoisers.compose import Compose
from limner.denoisers.controlled import Acting, Controlled
from limner.denoisers.network import Network
from limner.denoisers.shown import Shown
from limner.errors import BadInput, LimnerError
from limner.levels import (
    CLEAN,
    Level,
    distilled_levels,
    flow_levels,
    level_at,
    levels_of,
    vp_level,
)
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import Picture, resize
from limner.prompt import parse
from limner.samplers import State
from limner.samplers._resampled import journey, jump_of, resampled
from limner.tasks import Progress, Watch
from limner.tasks._controls import Controls
from limner.tasks._recipe import recipe_of

__all__ = [
    "AT_ONCE",
    "Course",
    "Plan",
    "check_finite",
    "from_noise",
    "guided",
    "levels",
    "network_of",
    "paint",
    "states",
]

AT_ONCE = 8  # pictures in one pass: more is no faster on a CPU, and memory grows with it


@dataclass(frozen=True)
class Plan:
    """What to paint, every value settled: the task's arguments by the same names."""

    prompt: str
    negative: str
    seed: int
    steps: int
    guidance_scale: float
    guidance_interval: tuple[float, float]
    guidance_rescale: float
    sampler: str
    size: tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, eq=False)
class Course:
    """The way of a task's pictures: from where, under what, along which levels, to what.

    start:   noise of b samples → x (b, c, h, w) at levels[0], latents
    finish:  pictures (b, 3, h, w) in [0, 1] as they are decoded → those of the task
    rounds:  see `resampled`
    """

    denoiser: Denoiser
    levels: list[Level]
    start: Callable[[Noise], Tensor]
    finish: Callable[[Tensor], Tensor] = lambda pictures: pictures
    rounds: int = 1

    @property
    def count(self) -> int:
        """Steps that run."""
        steps = len(self.levels) - 1
        places = [0, *journey(steps, self.rounds, jump_of(steps))]
        return sum(b > a for a, b in pairwise(places))


@torch.no_grad()
def paint(
    model: TextToImage,
    plan: Plan,
    samples: Sequence[int],
    run: dict[str, Any],
    watch: Watch | None = None,
    *,
    task: str = "generate",
    course: Course | None = None,
    files: dict[str, str] | None = None,
    controls: Controls | None = None,
) -> list[Picture]:
    """The pictures of these sample numbers, in their order.

    run:     remembered in the recipes beside the plan, as are the task and `files`, with their
             hashes, that the pictures were made from
    course:  from pure noise to all of the picture when not given
    controls: those that the course has, for the recipes
    """
    course = course or from_noise(model, plan)
    recipe = recipe_of(
        task,
        asdict(plan) | run,
        model,
        precision=model.precision,
        device=model.device.type,
    )
    recipe |= {} if files is None else {"files": files}
    recipe |= {} if controls is None else controls.recipe()
    chunks = [samples[i : i + AT_ONCE] for i in range(0, len(samples), AT_ONCE)]
    total = len(chunks) * course.count
    out: list[Picture] = []
    for i, chunk in enumerate(chunks):
        pictures = partial(_pictures, model, course, recipe, chunk)
        latents = torch.empty(0)
        for step, state in enumerate(states(course, plan, chunk), 1):
            latents = state.x
            if watch is not None:
                preview = partial(pictures, state.denoised, on_the_way=True)
                watch(Progress(i * course.count + step, total, preview))
        out += pictures(latents)
    return out


def guided(
    model: TextToImage,
    plan: Plan,
    beside: Tensor | None = None,
    *,
    blank: bool = False,
    controls: Sequence[Acting] = (),
) -> Denoiser:
    """The network under the plan's words and guidance.

    beside:    what a network sees below x that was trained to (see `TextToImage`). Raises BadInput
               where it is missing.
    blank:     with the negative words nothing is shown beside x, see `Shown`
    controls:  ControlNets that steer it, see `Controlled`
    """
    if model.conditioned and beside is None:
        fitting = {
            "inpainting": "inpaint or outpaint",
            "regions": "layout or map",
            "decoder": "vary, textdiff or unclip",
        }
        known = fitting.get(model.conditioned or "", "the task that it is for")
        raise BadInput(
            f"the model {model.name!r} was trained for {model.conditioned}: use limner {known}, "
            "or another model (--model)"
        )
    phrases = parse(plan.prompt)
    texts = [plan.negative, *(phrase.text for phrase in phrases)]
    without, *states = model.encode_text(texts).split(1)
    plain, scale = network_of(model, plan.guidance_scale)
    shown = plain if beside is None else replace(plain, beside=beside)
    network: Conditional = Controlled(shown, tuple(controls)) if controls else shown
    if blank and beside is not None:
        network = Shown(plain, beside, without)
    weights = [scale * phrase.weight for phrase in phrases]
    interval, rescale = plan.guidance_interval, plan.guidance_rescale
    if len(states) == 1:
        return CFG(network, states[0], without, weights[0], interval, rescale)
    if interval != (0.0, 1.0) or rescale:
        raise BadInput("a prompt of several parts takes no guidance interval or rescale: drop them")
    return Compose(network, states, weights, without)


def network_of(model: TextToImage, scale: float) -> tuple[Network, float]:
    """The model's network, and the scale at which it is guided from outside: 1 where it is told
    the scale itself."""
    inside = scale if model.takes_scale else None
    network = Network(model.unet, model.prediction, model.alpha_bars, guidance=inside)
    return network, scale if inside is None else 1.0


def levels(
    model: TextToImage,
    steps: int,
    strength: float = 1.0,
    size: tuple[int, int] | None = None,
) -> list[Level]:
    """steps + 1 levels to CLEAN, evenly in time; the first is the share `strength` of the model's
    time, and at 1 the noisiest level that it knows: the end of its training's table.

    diffusers' "trailing" timesteps of steps/strength steps, the last `steps` of them. size: width
    and height of the picture, by which a flow model may shift its times; its own when not given.
    One that was distilled from so many steps knows only those.
    """
    table = model.alpha_bars
    if table is None:
        return flow_levels(steps, model.shift.at(*(size or (model.size, model.size))), strength)
    if model.origin is not None:
        return distilled_levels(table, steps, model.origin, strength)
    if strength == 1:
        return levels_of(table, steps)
    left = [strength * (1 - i / steps) for i in range(steps)]
    return [*(_level(table, t * len(table)) for t in left), CLEAN]


def _level(table: Tensor, count: float) -> Level:
    """After `count` of the table's timesteps; within the first, its σ/α falls evenly to clean."""
    if count >= 1:
        return level_at(table, count - 1)
    ratio = count * level_at(table, 0).ratio
    return vp_level(1 / (1 + ratio**2))


def from_noise(
    model: TextToImage,
    plan: Plan,
    denoiser: Denoiser | None = None,
    controls: Controls | None = None,
) -> Course:
    """From pure noise to all of the picture. denoiser: `guided` with the controls, if not given."""
    along = levels(model, plan.steps, size=plan.size)
    width, height = plan.size
    if denoiser is None:
        view = partial(resize, size=(height, width))
        steer = () if controls is None else controls.along(along, view)
        denoiser = guided(model, plan, controls=steer)
    shape = (model.channels, height // model.downscale, width // model.downscale)
    # Latents have about unit variance, and so α·x0 + σ·n has α² + σ²; at 1 for a VP model this is
    # also what diffusers' pipelines start from.
    spread = math.hypot(*along[0])

    def start(noise: Noise) -> Tensor:
        return (noise.normal(shape) * spread).to(model.device)

    return Course(denoiser, along, start)


def states(course: Course, plan: Plan, samples: Sequence[int]) -> Iterator[State]:
    """The sampler's states, of latents (b, c, h, w); the last one's x is done."""
    noise = Noise(plan.seed, samples)
    sampler, rounds = find("samplers", plan.sampler), course.rounds
    x = course.start(noise)
    yield from resampled(sampler, course.denoiser, x, course.levels, noise=noise, rounds=rounds)


def _pictures(
    model: TextToImage,
    course: Course,
    recipe: dict[str, Any],
    samples: Sequence[int],
    latents: Tensor,
    *,
    on_the_way: bool = False,
) -> list[Picture]:
    """Decoded (by what is quicker, on the way) and finished, with a recipe each."""
    pixels = (model.preview if on_the_way else model.decode)(latents).cpu()
    check_finite(model, latents)
    check_finite(model, pixels)
    batch = {"batch": [samples[0], len(samples)]}
    finished = zip(course.finish(pixels), samples)
    return [Picture(each, recipe | batch | {"sample": k}) for each, k in finished]


def check_finite(model: TextToImage, values: Tensor) -> None:
    """Raises LimnerError where latents or pictures of the model have values that are no numbers."""
    if not bool(values.isfinite().all()):
        raise LimnerError(
            f"the model {model.name!r} made values that are no numbers: its weights are damaged, "
            "or the guidance scale is too large"
        )
