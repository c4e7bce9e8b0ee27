"""What the tasks of unCLIP share: a decoder, opened; pictures as it knows them; painting by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.denoisers.cfg import CFG
from limner.denoisers.given import Given
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import vp_levels
from limner.models._open import open_model
from limner.models._text_to_image import TextToImage
from limner.models.adapter import with_adapter
from limner.models.decoder import KIND, Decoder, decoder_of
from limner.models.prior import Prior
from limner.noise import Noise
from limner.picture import Picture, load
from limner.prompt import parse
from limner.samplers.ddim import invert
from limner.samplers.ddpm import ddpm
from limner.tasks import Progress, Watch
from limner.tasks._blend import spherical
from limner.tasks._paint import AT_ONCE, Course, Plan, from_noise, levels, paint
from limner.tasks._parts import Parts
from limner.tasks._recipe import told
from limner.tasks._window import window

__all__ = [
    "Seen",
    "Way",
    "conditions",
    "course_of",
    "imagined",
    "inverted",
    "open_decoder",
    "painted",
    "seen_by",
]

_ROUNDS = 1  # that mend each step of an inversion, see `invert`
_PRIOR = 0x7072696F72  # "prior": its noise is not the decoder's
_CANDIDATE = 2**54  # further sample numbers, beyond those that a run has


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as a decoder knows it.

    embedding:  (1, e) of length 1
    x0:         (1, c, h, w), its latents, of what the model sees of it
    back:       what the model painted (b, 3, h, w) → pictures of the picture's size
    size:       width and height that the model paints
    """

    embedding: Tensor
    x0: Tensor
    back: Callable[[Tensor], Tensor]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Way:
    """How a run's pictures come about.

    embeddings:  noise of b samples → (b or 1, e) of length 1
    own:         (1, c, h, w), the x_T to begin at; new noise for each when not given
    share:       of the arc from new noise to that
    words:       whether the decoder is told the plan's, too
    finish:      see `Course`
    """

    embeddings: Callable[[Noise], Tensor]
    own: Tensor | None = None
    share: float = 1.0
    words: bool = True
    finish: Callable[[Tensor], Tensor] = lambda pictures: pictures


def open_decoder(model: str | Path | TextToImage, decoder: str | None) -> Decoder:
    """A model with a decoder: a name or folder, or limner's own for this model when not given.

    Raises BadInput where there is none.
    """
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    if decoder == "none":
        raise BadInput("decoder 'none': give the folder of one (limner train decoder makes one)")
    return decoder_of(with_adapter(opened, KIND, decoder))


def seen_by(decoder: Decoder, picture: str | Path | Tensor) -> Seen:
    """A picture's file, or pixels (3, h, w) in [0, 1]."""
    pixels = picture if isinstance(picture, Tensor) else load(picture).pixels
    height, width = pixels.shape[1:]
    model = decoder.model
    part = window((height, width), model.size, model.downscale)
    view = part.view(pixels[None])
    size = (view.shape[3], view.shape[2])
    return Seen(decoder.embed(pixels[None]), model.encode(view), part.back, size)


def conditions(decoder: Decoder, plan: Plan, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Without and with: the negative words and no picture, (1, n, d); the plan's words and
    embeddings (b, e), as (b, n, d)."""
    phrases = parse(plan.prompt) if plan.prompt else []
    if len(phrases) > 1 or any(phrase.weight != 1 for phrase in phrases):
        raise BadInput(f"the prompt {plan.prompt!r}: a decoder is told one phrase, with no weight")
    words = phrases[0].text if phrases else ""
    every = torch.cat([torch.zeros_like(embeddings[:1]), embeddings])
    without, with_ = decoder.states([plan.negative, *[words] * len(embeddings)], every).split(
        [1, len(embeddings)]
    )
    return without, with_


def course_of(decoder: Decoder, plan: Plan, embeddings: Tensor, way: Way) -> Course:
    """The way of pictures that are told embeddings (b or 1, e), with guidance."""
    model = decoder.model
    told_plan = plan if way.words else replace(plan, prompt="")
    without, with_ = conditions(decoder, told_plan, embeddings)
    network = Network(model.unet, model.prediction, model.alpha_bars)
    scale, interval = plan.guidance_scale, plan.guidance_interval
    denoiser = CFG(network, with_, without, scale, interval, plan.guidance_rescale)
    course = from_noise(model, plan, denoiser)

    def start(noise: Noise) -> Tensor:
        if way.own is None:
            return course.start(noise)
        own = way.own.expand(len(noise.samples), -1, -1, -1)
        return own if way.share == 1 else spherical(course.start(noise), own, way.share)

    return replace(course, start=start, finish=way.finish)


def painted(
    decoder: Decoder,
    plan: Plan,
    way: Way,
    samples: Sequence[int],
    run: dict[str, Any],
    parts: Parts,
    *,
    task: str,
    files: dict[str, str],
    prior: Prior | None = None,
) -> list[Picture]:
    """The pictures of these sample numbers, AT_ONCE in one pass. Arguments as in `paint`."""
    out: list[Picture] = []
    for first in range(0, len(samples), AT_ONCE):
        chunk = samples[first : first + AT_ONCE]
        course = course_of(decoder, plan, way.embeddings(Noise(plan.seed, chunk)), way)
        watch = parts.next(course.count)
        out += paint(decoder.model, plan, chunk, run, watch, task=task, course=course, files=files)
    used = {"clips": [told(decoder.clip)], "guides": [] if prior is None else [told(prior)]}
    return [replace(each, recipe=(each.recipe or {}) | used) for each in out]


@torch.no_grad()
def inverted(
    decoder: Decoder, plan: Plan, x0: Tensor, embeddings: Tensor, watch: Watch | None
) -> Tensor:
    """The noise x_T (b, c, h, w) from which the decoder, told embeddings (b, e) and no words,
    leads to x0 (b, c, h, w) (Ramesh et al. 2022, section 3: with the embedding it is all of the
    picture). It asks without guidance, under which an inversion would not lead back.

    Raises BadInput for a single step, which would see nothing of the picture.
    """
    if plan.steps < 2:
        raise BadInput("steps 1: give at least 2, to find the picture's own noise")
    model = decoder.model
    wordless = replace(plan, prompt="", negative="")
    network = Network(model.unet, model.prediction, model.alpha_bars)
    denoiser = Given(network, conditions(decoder, wordless, embeddings)[1])
    x = x0
    for state in invert(denoiser, x0, levels(model, plan.steps), rounds=_ROUNDS):
        x = state.x
        if watch is not None:
            watch(Progress(state.step, plan.steps, partial(_pictures, model, state.denoised)))
    return x


def _pictures(model: TextToImage, latents: Tensor) -> list[Picture]:
    return [Picture(pixels) for pixels in model.decode(latents).cpu()]


@torch.no_grad()
def imagined(
    prior: Prior, prompt: str, noise: Noise, *, candidates: int, steps: int, scale: float
) -> Tensor:
    """Embeddings (b, e) of pictures that the prompt may have, of b samples: of so many candidates
    each, the one that agrees best with the text's own (Ramesh et al. 2022, section 2.2)."""
    told_, nothing = prior.told([prompt, ""]).split(1)
    network = Network(prior, "sample", prior.alpha_bars)
    denoiser = CFG(network, told_, nothing, scale)
    along = vp_levels(prior.alpha_bars, steps, "linspace")
    found = []
    for number in range(candidates):
        samples = [sample + number * _CANDIDATE for sample in noise.samples]
        own = Noise(noise.seed ^ _PRIOR, samples)
        x = own.normal((prior.size, 1, 1))
        for state in ddpm(denoiser, x, along, noise=own):
            x = state.x
        found.append(prior.embeddings(x))
    every = torch.stack(found)  # (k, b, e)
    best = (every @ prior.clip.embed_texts([prompt])[0].to(every)).argmax(0)
    return every[best, torch.arange(len(best))]
