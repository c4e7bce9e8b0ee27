"""Pictures a second: limner.generate beside diffusers' StableDiffusionPipeline, same weights.

Both paint the same prompt with the same steps, guidance and size, taking turns in one process, so
that what else the machine does falls on all alike.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limner.errors import BadInput
from limner.measures import Watch
from limner.measures._share import checked
from limner.models._folder import find_folder
from limner.models._text_to_image import TextToImage
from limner.models.embedded import folder as embedded_folder
from limner.picture import Picture, psnr
from limner.prompt import UnseenWord

__all__ = ["PIPELINES", "Speed", "Throughput", "rounds_of", "throughput"]

PIPELINES = ("float32", "bfloat16")
PROMPT = "an astronaut riding a horse at sunset"
_COMPARED = 4  # pictures for the agreement with float32
_SEED = 7

Contender = Callable[[int], Any]  # paints a batch of so many


@dataclass(frozen=True)
class Speed:
    """seconds of each round's batch; `first`: of the first one, with all that is done only once."""

    batch: int
    first: float
    seconds: tuple[float, ...]

    @property
    def pictures_per_second(self) -> float:
        """The median round's."""
        return self.batch / statistics.median(self.seconds)


@dataclass(frozen=True)
class Throughput:
    """speeds: contender → batch → Speed; the contenders are "limner", "limner compiled" and
    "diffusers float32", "diffusers bfloat16".

    psnr: decibels from limner's pictures to its own in float32, not compiled, from the same noise:
    the mean over pictures, the smaller one if limner runs compiled too; infinite where they agree.
    """

    speeds: Mapping[str, Mapping[int, Speed]]
    psnr: float
    model: str
    steps: int
    guidance_scale: float
    size: int
    precision: str
    device: str
    threads: int

    def ratio(self, one: str, other: str, batch: int) -> float:
        """How many times the other's pictures a second: the median over rounds, which are pairs."""
        a, b = self.speeds[one][batch].seconds, self.speeds[other][batch].seconds
        return statistics.median(theirs / ours for ours, theirs in zip(a, b))

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        facts = {key: value for key, value in vars(self).items() if key != "speeds"}
        rows = [
            {
                "contender": name,
                "batch": batch,
                "pictures_per_second": speed.pictures_per_second,
                "first_seconds": speed.first,
                "seconds": speed.seconds,
                "slower_than": {
                    ours: self.ratio(ours, name, batch)
                    for ours in self.speeds
                    if ours.startswith("limner") and ours != name
                },
            }
            for name, each in self.speeds.items()
            for batch, speed in each.items()
        ]
        return facts | {"torch": torch.__version__, "speeds": rows}

    def lines(self) -> list[str]:
        """As text, a line for each contender and batch."""
        said = [
            f"{self.model}: {self.steps} steps, guidance {self.guidance_scale:g}, "
            f"{self.size}x{self.size}, {self.device}, {self.threads} threads, "
            f"limner in {self.precision} ({self.psnr:.1f} dB to its float32)"
        ]
        for name, each in self.speeds.items():
            others = [ours for ours in self.speeds if ours.startswith("limner") and ours != name]
            for batch, speed in each.items():
                times = "".join(f"  {self.ratio(o, name, batch):.2f}× {o}" for o in others)
                said.append(
                    f"  {name:18} batch {batch}: {speed.pictures_per_second:7.3f} pictures/s, "
                    f"first {speed.first:6.2f} s{times}"
                )
        return said


def throughput(
    model: str | Path = "embedded",
    *,
    batches: Sequence[int] = (1, 8),
    steps: int = 20,
    rounds: int = 5,
    guidance_scale: float | None = None,
    precision: str = "auto",
    compile: bool = False,
    pipelines: Sequence[str] = PIPELINES,
    watch: Watch | None = None,
) -> Throughput:
    """Measures steady state: every contender has painted each batch once before the rounds begin.

    Args:
        model: "embedded", a folder in diffusers' layout, or a hub id
        batches: pictures at once
        steps: steps of the samplers
        rounds: how often each contender paints each batch
        guidance_scale: of all contenders; the model's own when not given
        precision: of limner: auto, float32 or bfloat16
        compile: let limner run compiled too, as "limner compiled"
        pipelines: types in which diffusers runs: float32, bfloat16
        watch: called with the batches painted and their number

    Raises BadInput when the model cannot be opened or an argument is not usable.
    """
    from limner.models._open import open_model, placed

    if not set(pipelines) <= set(PIPELINES):
        raise BadInput(f"pipelines {', '.join(pipelines)}: choose from {', '.join(PIPELINES)}")
    if not batches:
        raise BadInput("no batches: give at least one, such as 1,8")
    for what, value, most in (("steps", steps, 1000), ("rounds", rounds, 10_000)):
        checked(what, value, 1, most)
    for batch in batches:
        checked("batch", batch, 1, 8)
    exact = open_model(model)
    opened = placed(exact, precision)
    scale = opened.guidance_scale if guidance_scale is None else guidance_scale
    how: dict[str, Any] = {"steps": steps, "guidance_scale": scale}
    contenders: dict[str, Contender] = {"limner": _limner(opened, precision, how)}
    if compile:
        contenders["limner compiled"] = _limner(opened, precision, how | {"compile": True})
    for dtype in pipelines:
        contenders[f"diffusers {dtype}"] = _diffusers(model, dtype, opened, how)
    speeds = rounds_of(contenders, batches, rounds, watch)
    return Throughput(
        speeds=speeds,
        psnr=_agreement(contenders, placed(exact, "float32"), opened, how),
        model=str(model),
        steps=steps,
        guidance_scale=scale,
        size=opened.size,
        precision=opened.precision,
        device=opened.device.type,
        threads=torch.get_num_threads(),
    )


def rounds_of(
    contenders: Mapping[str, Contender],
    batches: Sequence[int],
    rounds: int,
    watch: Watch | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[int, Speed]]:
    """Times every contender on every batch: once at first, then in rounds, taking turns.

    Each round begins with another contender: the first after a pause may find the machine rested.
    """
    names, done = list(contenders), 0
    total = len(names) * len(batches) * (rounds + 1)
    times: dict[str, dict[int, list[float]]] = {
        name: {batch: [] for batch in batches} for name in names
    }
    for i in range(rounds + 1):
        turn = i % len(names)
        for batch in batches:
            for name in names[turn:] + names[:turn]:
                begin = clock()
                contenders[name](batch)
                times[name][batch].append(clock() - begin)
                done += 1
                if watch is not None:
                    watch(done, total)
    return {
        name: {batch: Speed(batch, took[0], tuple(took[1:])) for batch, took in each.items()}
        for name, each in times.items()
    }


def _limner(model: TextToImage, precision: str, how: dict[str, Any]) -> Contender:
    from limner.tasks.generate import generate

    def paint(batch: int) -> list[Picture]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnseenWord)
            return generate(
                PROMPT, count=batch, seed=_SEED, model=model, precision=precision, **how
            )

    return paint


def _diffusers(model: str | Path, dtype: str, like: TextToImage, how: dict[str, Any]) -> Contender:
    """StableDiffusionPipeline as its users run it: opened from the folder, its own scheduler."""
    from diffusers import StableDiffusionPipeline

    folder = embedded_folder("diffusion") if model == "embedded" else find_folder(model)
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=getattr(torch, dtype), safety_checker=None, local_files_only=True
    ).to(like.device)
    pipeline.set_progress_bar_config(disable=True)

    def paint(batch: int) -> list[Any]:
        generator = torch.Generator().manual_seed(_SEED)
        images = pipeline(
            [PROMPT] * batch,
            height=like.size,
            width=like.size,
            num_inference_steps=how["steps"],
            guidance_scale=how["guidance_scale"],
            generator=generator,
        ).images
        return list(images)

    return paint


def _agreement(
    contenders: Mapping[str, Contender],
    exact: TextToImage,
    opened: TextToImage,
    how: dict[str, Any],
) -> float:
    """Mean PSNR of limner's pictures to its float32 ones; the worse one's if it is compiled too."""
    if opened.dtype == torch.float32 and "limner compiled" not in contenders:
        return math.inf
    wanted = _limner(exact, "float32", how)(_COMPARED)
    ours = [paint(_COMPARED) for name, paint in contenders.items() if name.startswith("limner")]
    return min(
        statistics.mean(psnr(a.pixels, b.pixels) for a, b in zip(pictures, wanted))
        for pictures in ours
    )
