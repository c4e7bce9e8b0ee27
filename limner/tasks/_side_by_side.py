"""Requests of generate that differ in words, seed and count alone, painted in one pass.

A pass of eight costs far less than eight passes of one. What a picture is told and the noise it
begins with are those it has alone, bit for bit; the products of a larger batch round otherwise in
their last bits, which its place in the pass decides and its neighbours' content does not. So its
recipe says how many there were and which it was ("among"), and nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner._rooms import find
from limner.denoisers.cfg import CFG
from limner.errors import BadInput
from limner.models._open import placed
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import Picture
from limner.samplers import State
from limner.tasks import Progress, Watch
from limner.tasks._checks import check_run, check_whole
from limner.tasks._paint import AT_ONCE, Plan, check_finite, from_noise, guided, levels
from limner.tasks._planned import planned, told_again
from limner.tasks._recipe import recipe_of
from limner.tasks.generate import fitting, size_of

__all__ = ["Request", "again_among", "asked", "paint_together", "passes"]

# What recipes of generate say of arguments that no request in a shared pass has.
_ALONE = {"best_of": None, "compile": False, "control": None, "low_memory": False}


@dataclass(frozen=True, eq=False)
class Request:
    """One request, every value settled.

    guidance:  the network under its words: states (1, n, d)
    """

    model: TextToImage
    plan: Plan
    samples: range
    guidance: CFG

    @property
    def shape(self) -> tuple[object, ...]:
        """What must be equal in one pass; the states' length n is that of the longest prompt."""
        same = replace(self.plan, prompt="", negative="", seed=0)
        states = self.guidance.condition.shape, self.guidance.scale
        return id(self.model), same, states


def asked(
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
    precision: str = "auto",
) -> Request:
    """A request; arguments as in `generate`. Raises BadInput for one that cannot share a pass."""
    check_run(count, seed, first)
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
    wanted = plan.size if size is None else size_of(size)
    plan = replace(plan, size=fitting(wanted, opened))
    opened = placed(opened, precision)
    guidance = guided(opened, plan)
    if not isinstance(guidance, CFG):
        raise BadInput("a prompt of several parts is painted alone: make it one phrase")
    if count > AT_ONCE:
        raise BadInput(f"count {count}: up to {AT_ONCE} pictures are painted in one pass")
    return Request(opened, plan, range(first, first + count), guidance)


def passes(requests: Sequence[Request]) -> list[list[int]]:
    """Which requests, by their place in the list, share a pass: of one shape, no more than AT_ONCE
    pictures, in order."""
    found: list[list[int]] = []
    for i, request in enumerate(requests):
        for group in found:
            alike = requests[group[0]].shape == request.shape
            count = sum(len(requests[k].samples) for k in group)
            if alike and count + len(request.samples) <= AT_ONCE:
                group.append(i)
                break
        else:
            found.append([i])
    return found


@torch.no_grad()
def paint_together(
    requests: Sequence[Request], watches: Sequence[Watch | None]
) -> list[list[Picture]]:
    """The pictures of each request, painted in one pass.

    watches:  of each request, called after every step with the Progress of its own pictures
    """
    if len({request.shape for request in requests}) > 1:
        raise BadInput("requests of several shapes: only those of one share a pass")
    model, plan = requests[0].model, requests[0].plan
    places = _places(requests)
    latents = torch.empty(0)
    for state in _states(requests):
        latents = state.x
        for request, place, watch in zip(requests, places, watches):
            if watch is not None:
                shown = partial(_shown, request, state.denoised[place.start : place.stop])
                watch(Progress(state.step, plan.steps, shown))
    pixels = model.decode(latents).cpu()
    return [_made(request, place, pixels) for request, place in zip(requests, places)]


def again_among(
    recipe: Mapping[str, Any], model: str | Path | TextToImage | None, watch: Watch | None
) -> Picture:
    """A recipe's picture at its place in a pass of as many, all of which are this one. Raises
    BadInput, KeyError, TypeError and ValueError for a recipe that was changed."""
    place, total = recipe["among"]
    check_whole({"among": (total, 1, AT_ONCE), "its place": (place, 0, total - 1)})
    sample = recipe["sample"]
    said = told_again(dict(recipe), range(sample, sample + 1), model)
    said.pop("compile")
    request = asked(size=tuple(recipe["arguments"]["size"]), **said)
    watches = [watch, *[None] * (total - 1)]
    return paint_together([request] * total, watches)[place][0]


def _places(requests: Sequence[Request]) -> list[range]:
    """The rows of each in the batch."""
    places, begin = [], 0
    for request in requests:
        places.append(range(begin, begin + len(request.samples)))
        begin += len(request.samples)
    return places


def _states(requests: Sequence[Request]) -> Iterator[State]:
    """The sampler's states of all rows, (b, c, h, w)."""
    model, plan = requests[0].model, requests[0].plan
    rows = [(request, sample) for request in requests for sample in request.samples]
    seeds = tuple(request.plan.seed for request, _ in rows)
    noise = Noise(seeds[0], [sample for _, sample in rows], seeds)
    denoiser = replace(
        requests[0].guidance,
        condition=torch.cat([request.guidance.condition for request, _ in rows]),
        unconditional=torch.cat([request.guidance.unconditional for request, _ in rows]),
    )
    sampler = find("samplers", plan.sampler)
    start = from_noise(model, plan, denoiser).start(noise)
    yield from sampler(denoiser, start, levels(model, plan.steps, size=plan.size), noise=noise)


def _shown(request: Request, latents: Tensor) -> list[Picture]:
    """A request's own rows (b, c, h, w), as they are expected to come out."""
    return [Picture(pixels) for pixels in request.model.preview(latents).cpu()]


def _made(request: Request, place: range, pixels: Tensor) -> list[Picture]:
    """A request's pictures among those of the pass (b, 3, h, w), with recipes as `paint` has them.
    Raises LimnerError for values that are no numbers."""
    check_finite(request.model, pixels[place.start : place.stop])
    run = {"count": len(request.samples), "first": request.samples.start}
    recipe = recipe_of(
        "generate",
        asdict(request.plan) | run | _ALONE,
        request.model,
        precision=request.model.precision,
        device=request.model.device.type,
    )
    return [
        Picture(
            pixels[k],
            recipe | {"batch": [sample, 1], "sample": sample, "among": [k, len(pixels)]},
        )
        for k, sample in zip(place, request.samples)
    ]
