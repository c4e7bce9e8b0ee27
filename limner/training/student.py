"""The recipe of ``limner train student``: a text-to-image model's many guided steps in a few.

The student paints from pure noise in its few steps, and at each of them the teacher shows where two
or more of its own would have led from there: progressive distillation (Salimans & Ho 2022,
algorithm 2) on the student's own way (Kohler et al. 2024, "Imagine Flash", §4.1), where it will be
when it paints. The teacher is guided (Meng et al. 2023, "On Distillation of Guided Diffusion
Models"), so the student needs no guidance. No picture is learned from: of the data only the
captions are. It is kept as an adapter of the teacher.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from limner.data import CaptionedPictures
from limner.denoisers import Denoiser
from limner.denoisers.cfg import CFG
from limner.denoisers.given import Given
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import Level, levels_of
from limner.models._open import open_model, parted
from limner.models._text_to_image import TextToImage
from limner.models.adapter import base_of, begun_with
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.samplers.ddim import ddim
from limner.tasks._checks import check_whole
from limner.training._data import Captioned, drawing
from limner.training._low_rank import Additions, export
from limner.training._parts import open_parts, sources
from limner.training._processes import processes
from limner.training.diffusion import PROMPTS
from limner.training.loop import Plan, Progress, flush_denormals, open_run, train

__all__ = ["Student", "student"]

KIND = "student"
_HUBER = 0.00054  # of the root of how many numbers a latent has (Song and Dhariwal 2024, §3.3)


class Batch(NamedTuple):
    """What one step paints."""

    noise: Tensor  # (b, c, h, w)
    words: list[str]


class Student:
    """Recipe.

    Args:
        data: captions.
        teacher: the model; it stays as it is.
        unet: the same U-Net for training, which `learned` changes.
        learned: the player.
        segments: the steps that the student is to take.
        intervals: the teacher's steps from noise to clean, a multiple of the segments.
    """

    def __init__(
        self,
        data: Captioned,
        teacher: TextToImage,
        unet: nn.Module,
        learned: nn.Module,
        *,
        segments: int = 4,
        intervals: int = 8,
        seed: int = 0,
    ) -> None:
        if segments < 1 or intervals < segments or intervals % segments:
            raise BadInput(
                f"{segments} segments of {intervals} intervals: give a multiple, such as "
                f"{2 * max(segments, 1)} intervals"
            )
        self.data, self.teacher, self.learned, self.seed = data, teacher, learned, seed
        self.segments, self.length = segments, intervals // segments
        self.levels = levels_of(teacher.alpha_bars, intervals)
        self.network = Network(unet, teacher.prediction, teacher.alpha_bars)
        self.players: Mapping[str, nn.Module] = {"student": learned}
        side = teacher.size // teacher.downscale
        self.shape = (teacher.channels, side, side)

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Batch:
        """Noise and captions; every process has rows of its own."""
        rng = drawing(self.seed, step, rank, "student")
        noise = rng.standard_normal((size, *self.shape), np.float32)
        return Batch(torch.from_numpy(noise), self.data.step(step, size, rank, ranks)[1])

    def learn(
        self,
        player: str,
        batch: Batch,
        step: int,
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """How far each of the student's steps is from where the teacher goes from there."""
        own, guide = self._own(batch.words), self._guide(batch.words)
        x = batch.noise.to(self.teacher.device) * math.hypot(*self.levels[0])
        parts: list[Tensor] = []
        for first in range(0, len(self.levels) - 1, self.length):
            levels = self.levels[first : first + self.length + 1]
            ends = [levels[0], levels[-1]]
            with torch.no_grad():
                aim = _led(guide, x, levels)
            reached = _led(own, x, ends)
            loss = _huber((reached - aim) / _lever(*ends)) / self.segments
            backward(loss)
            parts.append(loss.detach())
            x = reached.detach()
        return {"loss": torch.stack(parts).sum()}

    def _own(self, words: Sequence[str]) -> Denoiser:
        """The student, told some words."""
        return Given(self.network, self.teacher.encode_text(words).float())

    def _guide(self, words: Sequence[str]) -> Denoiser:
        """The teacher, guided as it paints; in its own type of numbers, whatever autocast says."""
        model = self.teacher
        network = Network(model.unet, model.prediction, model.alpha_bars)
        nothing, told = model.encode_text(["", *words]).split([1, len(words)])
        guided = CFG(network, told, nothing, model.guidance_scale)

        def denoiser(x: Tensor, level: Level) -> Tensor:
            with torch.autocast(x.device.type, enabled=False):
                return guided(x, level)

        return denoiser

    def preview(self, step: int, folder: Path) -> None:
        """A sheet of what it paints in as many steps as it has segments."""
        noise = Noise(self.seed, range(len(PROMPTS)))
        x = (noise.normal(self.shape) * math.hypot(*self.levels[0])).to(self.teacher.device)
        x = _led(self._own(PROMPTS), x, self.levels[:: self.length])
        pictures = [Picture(pixels.cpu()) for pixels in self.teacher.decode(x)]
        grid(pictures, columns=6, labels=list(PROMPTS)).save(folder / f"step-{step:06d}.png")

    def export(self, folder: Path) -> None:
        """The adapter, with the steps and the sampler that it is for."""
        assert isinstance(self.learned, Additions)
        card = {"steps": self.segments, "guidance_scale": 1.0, "sampler": "ddim"}
        export(folder, self.learned, KIND, base_of(self.teacher), card)


def _led(denoiser: Denoiser, x: Tensor, levels: Sequence[Level]) -> Tensor:
    """Where DDIM's steps through these levels lead, with no noise added."""
    for state in ddim(denoiser, x, levels, noise=Noise(0, range(len(x)))):
        x = state.x
    return x


def _lever(here: Level, there: Level) -> float:
    """By how much a step from here to there moves when the network's v does: α'σ − ασ'. So errors
    count as in v-prediction, at any level and for steps of any length."""
    return there.alpha * here.sigma - here.alpha * there.sigma


def _huber(apart: Tensor) -> Tensor:
    """√(‖a‖² + c²) − c over the root of how many numbers there are, and the mean of that."""
    count = math.sqrt(apart[0].numel())
    c = _HUBER * count
    return ((apart.flatten(1).square().sum(1) + c * c).sqrt() - c).mean() / count


def student(
    data: CaptionedPictures,
    run: Path,
    plan: Plan,
    *,
    model: str = "embedded",
    start: str | None = None,
    segments: int = 4,
    intervals: int = 8,
    rank: int = 8,
    resume: bool = False,
) -> Iterator[Progress]:
    """Teach a text-to-image model to paint in a few steps; ``run/model`` is an adapter of it, for
    ``limner generate --model embedded+RUN/model``.

    Args:
        model: the teacher: a Stable Diffusion folder, or embedded.
        start: a student of this teacher to go on from, named as limner generate names it:
            embedded+student, embedded+RUN/model. Its number of steps may be another.
        segments: the steps that the student is to take; fewer are harder.
        intervals: the teacher's steps from noise to clean, a multiple of the segments.
        rank: of what the adapter adds to each layer.
        resume: go on from the last checkpoint in the run's folder.
    """
    flush_denormals()
    check_whole({"rank": (rank, 1, 1024)})
    teacher, found = open_model(model), sources(None, None, model)
    begun = begun_with(_adapter(start), teacher, KIND, rank) if start else None
    open_run(run, resume)
    torch.manual_seed(plan.seed)
    parts = open_parts(found, data.size)
    parts.unet.to(processes().device, memory_format=torch.channels_last)
    learned = Additions(parts.unet, rank)
    if begun:
        learned.begin(begun)
    number = torch.bfloat16 if plan.precision == "bf16" else torch.float32
    recipe = Student(
        Captioned(data, plan.seed),
        teacher.to(processes().device, number),
        parts.unet,
        learned,
        segments=segments,
        intervals=intervals,
        seed=plan.seed,
    )
    yield from train(recipe, plan, run, resume=resume)


def _adapter(start: str) -> str:
    """The adapter's name in MODEL+ADAPTER. Raises BadInput without one."""
    _, adapter = parted(start)
    if not adapter:
        raise BadInput(f"no student in {start!r}: give a model's with a plus, embedded+student")
    return adapter
