"""Pictures between two ends, painted by a diffusion model: two pictures by unCLIP (Ramesh et al.
2022, section 3.2), two prompts, or two noises."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.denoisers.cfg import CFG
from limner.errors import BadInput
from limner.models._open import placed
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import Picture, load, resize
from limner.prompt import parse
from limner.tasks import Watch
from limner.tasks._blend import spherical
from limner.tasks._checks import file_hash
from limner.tasks._paint import AT_ONCE, Course, Plan, from_noise, levels, network_of, paint
from limner.tasks._parts import Parts
from limner.tasks._planned import planned
from limner.tasks._recipe import told
from limner.tasks._unclip import conditions, inverted, open_decoder, seen_by

__all__ = ["SPACES", "Asked", "painted_between"]

SPACES = ("clip", "words", "noise")
_SEED = re.compile(r"(?:seed:)?(\d{1,19})")


@dataclass(frozen=True)
class Asked:
    """What the task was told, by the same names; all of it goes into recipes."""

    a: str
    b: str
    space: str
    frames: int
    prompt: str
    seed: int
    steps: int | None
    guidance_scale: float | None
    decoder: str | None


@dataclass(frozen=True, eq=False)
class _Ends:
    """What lies between: t from 0 (a) to 1 (b) → what the network is told (1, n, d), and the x
    (1, c, h, w) it begins at.

    without:  (1, n, d), what guidance pulls away from
    used:     of the recipe: files and networks beside the model
    finish:   see `Course`
    """

    model: TextToImage
    plan: Plan
    condition: Callable[[float], Tensor]
    start: Callable[[float], Tensor]
    without: Tensor
    used: dict[str, Any]
    finish: Callable[[Tensor], Tensor] = lambda pictures: pictures


def painted_between(
    asked: Asked,
    model: str | Path | TextToImage,
    samples: Sequence[int],
    watch: Watch | None,
    precision: str = "auto",
) -> list[Picture]:
    """The frames of these numbers, each with a recipe of its own. Raises BadInput."""
    makes = {"clip": _of_pictures, "words": _of_prompts, "noise": _of_noises}
    if asked.space not in makes:
        raise BadInput(f"no space {asked.space!r}: choose one of {', '.join(SPACES)}")
    chunks = [samples[i : i + AT_ONCE] for i in range(0, len(samples), AT_ONCE)]
    parts = Parts(watch, 0)
    ends = makes[asked.space](asked, model, precision, parts, len(chunks))
    run = {name: value for name, value in vars(asked).items() if name not in vars(ends.plan)}
    network, scale = network_of(ends.model, ends.plan.guidance_scale)
    out: list[Picture] = []
    for chunk in chunks:
        shares = [number / (asked.frames - 1) for number in chunk]
        with_ = torch.cat([ends.condition(share) for share in shares])
        x = torch.cat([ends.start(share) for share in shares])
        denoiser = CFG(network, with_, ends.without, scale)
        start = partial(_given, x)
        along = levels(ends.model, ends.plan.steps, size=ends.plan.size)
        way = Course(denoiser, along, start, ends.finish)
        watcher = parts.next(way.count)
        out += paint(
            ends.model, ends.plan, chunk, run, watcher, task="interpolate", course=way, files={}
        )
    return [_told(picture, ends) for picture in out]


def _given(x: Tensor, noise: Noise) -> Tensor:
    """What is begun at: no noise is drawn."""
    return x


def _told(picture: Picture, ends: _Ends) -> Picture:
    recipe = picture.recipe or {}
    arguments = recipe["arguments"] | {"frame": recipe["sample"], "model": ends.model.name}
    return replace(picture, recipe=recipe | ends.used | {"arguments": arguments})


def _planned(
    asked: Asked, model: str | Path | TextToImage, prompt: str, sampler: str | None
) -> tuple[TextToImage, Plan]:
    return planned(
        prompt,
        negative=None,
        seed=asked.seed,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale,
        guidance_interval=(0.0, 1.0),
        guidance_rescale=0.0,
        sampler=sampler,
        model=model,
        wordless=True,
    )


def _of_pictures(
    asked: Asked, model: str | Path | TextToImage, precision: str, parts: Parts, chunks: int
) -> _Ends:
    """Both the embeddings and the noises x_T that lead to the two go along arcs."""
    files = {name: file_hash(name) for name in (asked.a, asked.b)}
    decoder = open_decoder(model, asked.decoder)
    _, plan = _planned(asked, decoder.model, asked.prompt, "ddim")
    decoder = replace(decoder, model=placed(decoder.model, precision))
    first = load(asked.a).pixels
    other = resize(load(asked.b).pixels[None], (first.shape[1], first.shape[2]))[0]
    seen = [seen_by(decoder, pixels) for pixels in (first, other)]
    plan = replace(plan, size=seen[0].size)
    parts.total = plan.steps * (1 + chunks)
    z = torch.cat([each.embedding for each in seen])
    x0 = torch.cat([each.x0 for each in seen])
    xs = inverted(decoder, plan, x0, z, parts.next(plan.steps))
    without = conditions(decoder, plan, z[:1])[0]
    return _Ends(
        decoder.model,
        plan,
        lambda t: conditions(decoder, plan, spherical(z[:1], z[1:], t))[1],
        lambda t: spherical(xs[:1], xs[1:], t),
        without,
        {"files": files, "clips": [told(decoder.clip)]},
        seen[0].back,
    )


def _of_prompts(
    asked: Asked, model: str | Path | TextToImage, precision: str, parts: Parts, chunks: int
) -> _Ends:
    """The text's states go along a line, the noise is one."""
    opened, plan = _planned(asked, model, _phrase(asked.a), None)
    opened = placed(opened, precision)
    parts.total = plan.steps * chunks
    without, first, last = opened.encode_text(["", _phrase(asked.a), _phrase(asked.b)]).split(1)
    x = _noise(opened, plan, asked.seed)
    return _Ends(
        opened,
        replace(plan, prompt=asked.prompt),
        lambda t: first.lerp(last, t),
        lambda t: x,
        without,
        {"files": {}, "clips": []},
    )


def _of_noises(
    asked: Asked, model: str | Path | TextToImage, precision: str, parts: Parts, chunks: int
) -> _Ends:
    """The noises of two seeds go along an arc, under one prompt."""
    seeds = [_SEED.fullmatch(name.strip()) for name in (asked.a, asked.b)]
    if not all(seeds):
        raise BadInput(f"{asked.a!r} and {asked.b!r}: give two seeds, such as seed:7 and seed:8")
    opened, plan = _planned(asked, model, _phrase(asked.prompt), None)
    opened = placed(opened, precision)
    parts.total = plan.steps * chunks
    without, said = opened.encode_text(["", _phrase(asked.prompt)]).split(1)
    first, last = (_noise(opened, plan, int(seed[1])) for seed in seeds if seed)
    return _Ends(
        opened,
        plan,
        lambda t: said,
        lambda t: spherical(first, last, t),
        without,
        {"files": {}, "clips": []},
    )


def _phrase(prompt: str) -> str:
    phrases = parse(prompt)
    if len(phrases) > 1 or phrases[0].weight != 1 or phrases[0].picture is not None:
        raise BadInput(f"the prompt {prompt!r}: give one phrase in words, with no weight")
    return phrases[0].text


def _noise(model: TextToImage, plan: Plan, seed: int) -> Tensor:
    """As `limner generate` begins picture 0 of this seed."""
    return from_noise(model, plan).start(Noise(seed, [0]))
