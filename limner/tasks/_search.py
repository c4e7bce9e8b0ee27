"""The search itself: a settled plan → pictures, four at a time; stop, save, resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.judges import Judge
from limner.noise import Noise
from limner.picture import Picture
from limner.searches import State
from limner.searches._memory import copied
from limner.searches.descend import descend
from limner.searches.evolve import evolve
from limner.tasks import Progress, Watch, _saved
from limner.tasks._checks import check_writable
from limner.tasks._film import is_frame
from limner.tasks._generators import usual
from limner.tasks._judges import judge_of, named
from limner.tasks._plan import Opened, Plan
from limner.tasks._schedule import stages

__all__ = ["AT_ONCE", "Keep", "Painted", "keeping", "paint"]

AT_ONCE = 4  # pictures in one pass: more is hardly faster on a CPU, and memory grows with it


@dataclass(frozen=True, eq=False)
class Painted:
    """A picture, the latent (one row) that it shows, and how it came to be."""

    picture: Picture
    latent: Latent
    frames: list[np.ndarray]  # (h, w, 3) uint8; none unless a film was asked for


@dataclass(frozen=True)
class Keep:
    """Where a search is saved to every few seconds and in the end, and what it goes on from."""

    save: Path | None
    resume: Path | None


def keeping(save: str | Path | None, resume: str | Path | None, count: int) -> Keep:
    """Checked before anything is painted."""
    if count > AT_ONCE and (save is not None or resume is not None):
        raise BadInput(
            f"{count} pictures: a search of up to {AT_ONCE} can be saved; paint the others apart, "
            f"with --first {AT_ONCE}"
        )
    if save is not None and Path(save).suffix != ".safetensors":
        raise BadInput(f"cannot save to {str(save)!r}: the name ends in .safetensors")
    place = None if save is None else check_writable(Path(save))
    return Keep(place, None if resume is None else Path(resume))


def paint(
    plan: Plan,
    opened: Opened,
    samples: Sequence[int],
    run: dict[str, Any],
    *,
    filmed: bool,
    keep: Keep,
    watch: Watch | None,
) -> tuple[list[Painted], int | None]:
    """The pictures of these sample numbers, in their order, and None; `run` is remembered in their
    recipes. After Ctrl-C: each one's best so far, and the step at which it came."""
    chunks = [samples[i : i + AT_ONCE] for i in range(0, len(samples), AT_ONCE)]
    total = len(chunks) * plan.steps
    done: list[Painted] = []
    for i, chunk in enumerate(chunks):
        one = _Pass(plan, opened, chunk, run, filmed)

        def report(step: int, preview: Callable[[], list[Picture]], i: int = i) -> None:
            if watch is not None:
                watch(Progress(i * plan.steps + step, total, preview))

        painted, stopped = one.run(keep, report)
        done += painted
        if stopped is not None:
            if not done:
                raise KeyboardInterrupt
            return done, stopped
    return done, None


@dataclass(frozen=True, eq=False)
class _Pass:
    """The pictures that are searched for together."""

    plan: Plan
    opened: Opened
    samples: Sequence[int]
    arguments: dict[str, Any]  # of the run
    filmed: bool

    def run(
        self, keep: Keep, report: Callable[[int, Callable[[], list[Picture]]], None]
    ) -> tuple[list[Painted], int | None]:
        """What is painted in the end; or after Ctrl-C, perhaps nothing, and the step reached."""
        frames: list[np.ndarray] = []
        state = earlier = None if keep.resume is None else self.resumed(keep.resume)
        saved = time.monotonic()
        try:
            for state in self.states(earlier):
                if keep.save is not None and time.monotonic() - saved > _saved.BETWEEN_SAVES:
                    _saved.keep(keep.save, state, self._begun())
                    saved = time.monotonic()
                if self.filmed and is_frame(state.step, self.plan.steps):
                    frames.append(_bytes(self.pixels(state.latent)))
                report(state.step, partial(self.pictures, state.latent))
        except KeyboardInterrupt:
            if state is None:
                return [], 0
            return self.painted(state.best, frames, stopped=state.step), state.step
        finally:
            if keep.save is not None and state is not None:
                _saved.keep(keep.save, state, self._begun())
        assert state is not None  # there is a step at least
        return self.painted(state.latent, frames), None

    def states(self, state: State | None) -> Iterator[State]:
        """From the beginning, or from a State, to the last step, stage by stage."""
        plan, opened = self.plan, self.opened
        judges, noise = named(plan.judge), Noise(plan.seed, self.samples)
        start: Latent | State | None = state
        if state is None and opened.begin is not None:
            begin = opened.begin.items()
            start = {name: part.repeat_interleave(len(self.samples), 0) for name, part in begin}
        for stage in stages(plan.prompt, plan.schedule, plan.steps):
            if state is not None and state.step >= stage.end:
                continue
            if state is not None and state.step == stage.begin:
                start = _forgetting(state)
            judge = judge_of(judges, stage.prompt, opened.bench.during(stage.begin, stage.end))
            for state in self.searched(judge, noise, start):
                yield state
                if state.step == stage.end:
                    break

    def searched(self, judge: Judge, noise: Noise, start: Latent | State | None) -> Iterator[State]:
        """The search that the plan names."""
        generator, steps = self.opened.generator, self.plan.steps
        if self.plan.search == "evolve":
            bounds = usual(self.plan.generator).bounds
            assert bounds is not None  # `paint` saw to it
            return evolve(generator, judge, noise=noise, steps=steps, start=start, bounds=bounds)
        rate = self.plan.rate
        return descend(generator, judge, noise=noise, steps=steps, start=start, rate=rate)

    @torch.no_grad()
    def pixels(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]; outside a mask they are what the search began at."""
        pictures, bench = self.opened.generator.render(latent), self.opened.bench
        if bench.mask is not None and bench.start is not None:
            pictures = bench.mask * pictures + (1 - bench.mask) * bench.start
        return pictures.clamp(0, 1)

    def pictures(self, latent: Latent, stopped: int | None = None) -> list[Picture]:
        """Rendered, with a recipe each."""
        recipe = self.opened.recipe | {"batch": [self.samples[0], len(self.samples)]}
        recipe["arguments"] = recipe["arguments"] | self.arguments
        if stopped is not None:
            recipe["stopped"] = stopped
        rows = zip(self.pixels(latent), self.samples)
        return [Picture(each, recipe | {"sample": k}) for each, k in rows]

    def painted(
        self, latent: Latent, frames: list[np.ndarray], stopped: int | None = None
    ) -> list[Painted]:
        pictures = self.pictures(latent, stopped)
        return [
            Painted(
                picture,
                {name: part[row : row + 1] for name, part in latent.items()},
                [frame[row] for frame in frames],
            )
            for row, picture in enumerate(pictures)
        ]

    def resumed(self, path: Path) -> State:
        """A saved state of this very search."""
        first = self.opened.generator.start(Noise(self.plan.seed, self.samples))
        return _saved.kept(path, self._begun(), first)

    def _begun(self) -> dict[str, Any]:
        """What a state's meaning depends on."""
        recipe = self.opened.recipe
        kinds = ("model", "clips", "files", "identities", "scores")
        networks = {key: recipe[key] for key in kinds if key in recipe}
        return asdict(self.plan) | networks | {"samples": list(self.samples)}


def _forgetting(state: State) -> State:
    """The state with no best one yet: losses under another judge do not compare."""
    unknown = torch.full_like(state.best_loss, torch.inf)
    return replace(state, best=copied(state.latent), best_loss=unknown)


def _bytes(pixels: Tensor) -> np.ndarray:
    """(b, 3, h, w) → (b, h, w, 3) uint8, rounded as Picture rounds."""
    levels = pixels.mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().numpy()
