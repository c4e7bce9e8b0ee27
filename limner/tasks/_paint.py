"""The painting itself: a checked plan and an opened model → pictures, eight at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from limner._rooms import find
from limner.denoisers import Denoiser
from limner.denoisers.cfg import CFG
from limner.denoisers.compose import Compose
from limner.denoisers.network import Network
from limner.errors import BadInput, LimnerError
from limner.levels import Level, flow_levels, vp_levels
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import Picture
from limner.prompt import parse
from limner.samplers import State
from limner.tasks import Progress, Watch
from limner.tasks._recipe import recipe_of

__all__ = ["AT_ONCE", "Plan", "guided", "paint"]

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


@torch.no_grad()
def paint(
    model: TextToImage,
    plan: Plan,
    samples: Sequence[int],
    run: dict[str, Any],
    watch: Watch | None = None,
) -> list[Picture]:
    """The pictures of these sample numbers, in their order; `run` is remembered in the recipes."""
    denoiser = guided(model, plan)
    levels = _levels(model, plan.steps)
    chunks = [samples[i : i + AT_ONCE] for i in range(0, len(samples), AT_ONCE)]
    total = len(chunks) * plan.steps
    out: list[Picture] = []
    for i, chunk in enumerate(chunks):
        pictures = partial(_pictures, model, asdict(plan) | run, chunk)
        latents = torch.empty(0)
        for state in _states(model, plan, denoiser, levels, chunk):
            latents = state.x
            if watch is not None:
                preview = partial(pictures, state.denoised)
                watch(Progress(i * plan.steps + state.step, total, preview))
        out += pictures(latents)
    return out


def guided(model: TextToImage, plan: Plan) -> Denoiser:
    """The network under the plan's words and guidance."""
    network = Network(model.unet, model.prediction, model.alpha_bars)
    phrases = parse(plan.prompt)
    texts = [plan.negative, *(phrase.text for phrase in phrases)]
    without, *states = model.encode_text(texts).split(1)
    weights = [plan.guidance_scale * phrase.weight for phrase in phrases]
    interval, rescale = plan.guidance_interval, plan.guidance_rescale
    if len(states) == 1:
        return CFG(network, states[0], without, weights[0], interval, rescale)
    if interval != (0.0, 1.0) or rescale:
        raise BadInput("a prompt of several parts takes no guidance interval or rescale: drop them")
    return Compose(network, states, weights, without)


def _levels(model: TextToImage, steps: int) -> list[Level]:
    """From the noisiest level that the model knows: the end of its training's table."""
    if model.alpha_bars is None:
        return flow_levels(steps)
    return vp_levels(model.alpha_bars, steps, "trailing")


def _states(
    model: TextToImage,
    plan: Plan,
    denoiser: Denoiser,
    levels: list[Level],
    samples: Sequence[int],
) -> Iterator[State]:
    """The sampler's states, of latents (b, c, h, w); the last one's x is done."""
    width, height = plan.size
    shape = (model.channels, height // model.downscale, width // model.downscale)
    noise = Noise(plan.seed, samples)
    # Latents have about unit variance, and so α·x0 + σ·n has α² + σ²; at 1 for a VP model this is
    # also what diffusers' pipelines start from.
    start = noise.normal(shape) * math.hypot(*levels[0])
    sampler = find("samplers", plan.sampler)
    yield from sampler(denoiser, start.to(model.device), levels, noise=noise)


def _pictures(
    model: TextToImage,
    arguments: dict[str, Any],
    samples: Sequence[int],
    latents: Tensor,
) -> list[Picture]:
    """Decoded, with a recipe each."""
    pixels = model.decode(latents).cpu()
    if not bool(latents.isfinite().all() and pixels.isfinite().all()):
        raise LimnerError(
            f"the model {model.name!r} made values that are no numbers: its weights are damaged, "
            "or the guidance scale is too large"
        )
    precision, device = str(model.dtype).removeprefix("torch."), model.device.type
    recipe = recipe_of("generate", arguments, model, precision=precision, device=device)
    recipe |= {"batch": [samples[0], len(samples)]}
    return [Picture(each, recipe | {"sample": k}) for each, k in zip(pixels, samples)]
