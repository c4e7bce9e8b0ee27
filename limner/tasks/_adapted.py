"""A settled adaptation: run, stopped, gone on with; and the folder that comes of it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.judges import clip as clip_judge
from limner.judges._views import Camera
from limner.judges.direction import Direction
from limner.models._stylegan import write
from limner.models.clip import open_clip
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.noise import Noise
from limner.picture import Picture, grid
from limner.prompt import Phrase
from limner.searches import State
from limner.tasks import Progress, Watch, _saved
from limner.tasks._adapting import Adapting
from limner.tasks._checks import check_whole, check_writable
from limner.tasks._recipe import recipe_of, told

__all__ = ["SEARCH", "SHEET", "Opened", "Plan", "keep", "opened", "place_of", "run"]

SEARCH, SHEET = "search.safetensors", "before-after.png"
_AT_ONCE = 8  # pictures in one pass
_WHOLE = Camera(*[0.0] * 8)  # the paper judges pictures as they are


@dataclass(frozen=True)
class Plan:
    """The task's arguments by the same names, settled; layers is None until a model is open."""

    source: str
    target: str
    generator: str
    model: str
    clip: tuple[str, ...]
    layers: int | None
    choice_every: int
    choice_steps: int
    choice_batch: int
    batch: int
    steps: int
    rate: float
    views: int
    truncation: float
    seed: int


@dataclass(frozen=True, eq=False)
class Opened:
    """recipe: what every picture's recipe says, but for the steps that were run."""

    plan: Plan
    adapting: Adapting
    recipe: dict[str, Any]

    @torch.no_grad()
    def pictures(self, model: StyleGAN, steps: int, samples: Sequence[int]) -> list[Picture]:
        """Of a model after so many steps: before and after alike, what the seed's samples show."""
        generator = stylegan(model, kind="w+", truncation=self.plan.truncation)
        recipe = self.recipe | {"arguments": self.recipe["arguments"] | {"steps": steps}}
        out: list[Picture] = []
        for first in range(0, len(samples), _AT_ONCE):
            some = samples[first : first + _AT_ONCE]
            drawn = generator.render(generator.start(Noise(self.plan.seed, some)))
            said = recipe | {"batch": [some[0], len(some)]}
            out += [Picture(each, said | {"sample": k}) for each, k in zip(drawn, some)]
        return out

    def sheet(self, before: list[Picture], after: list[Picture]) -> Picture:
        """One above the other."""
        names = [self.plan.source] * len(before) + [self.plan.target] * len(after)
        return grid(before + after, columns=len(before), labels=names)


def opened(plan: Plan) -> Opened:
    """Opens the networks. Raises BadInput for what is not usable."""
    model = open_stylegan(plan.model)
    most = len(model.stylegan2.shape.sides)
    plan = replace(plan, layers=max(1, round(most * 2 / 3)) if plan.layers is None else plan.layers)
    assert plan.layers is not None
    check_whole({f"layers (of the {most} that can move)": (plan.layers, 1, most)})
    clips = [open_clip(name) for name in plan.clip]
    camera = _WHOLE if plan.views == 1 else Camera()
    shown = torch.zeros(1, 3, model.size, model.size)  # until there is a step
    words, views = (plan.source, plan.target), plan.views
    adapting = Adapting(
        model,
        Direction(clips, shown, *words, views=views, camera=camera),
        clip_judge.Clip(clips, [Phrase(plan.target)], "cosine", views=views, camera=camera),
        layers=plan.layers,
        choice_every=plan.choice_every,
        choice_steps=plan.choice_steps,
        choice_batch=plan.choice_batch,
        batch=plan.batch,
        rate=plan.rate,
        seed=plan.seed,
    )
    recipe = recipe_of("adapt", asdict(plan), model)
    recipe |= {"clips": [told(clip) for clip in clips], "files": {}}
    return Opened(plan, adapting, recipe)


def run(
    parts: Opened,
    samples: Sequence[int],
    *,
    place: Path | None,
    resume: bool,
    watch: Watch | None,
) -> tuple[State, bool]:
    """The last State, and whether Ctrl-C ended it. With a place the search is saved there, every
    few seconds and in the end, and goes on from there."""
    adapting, steps = parts.adapting, parts.plan.steps
    first = state = _resumed(parts, place / SEARCH) if resume and place else adapting.began()
    saved = time.monotonic()

    def preview(state: State) -> list[Picture]:
        after = parts.pictures(adapting.adapted(state), state.step, samples)
        return [parts.sheet(parts.pictures(adapting.model, 0, samples), after)]

    try:
        for state in adapting.states(first, steps):
            if place is not None and time.monotonic() - saved > _saved.BETWEEN_SAVES:
                _save(parts, place, state)
                saved = time.monotonic()
            if watch is not None:
                watch(Progress(state.step, steps, partial(preview, state)))
    except KeyboardInterrupt:
        if state is first:
            raise
        return state, True
    finally:
        if place is not None and state is not first:
            _save(parts, place, state)
    return state, False


def place_of(output: str | Path | None, resume: bool) -> Path | None:
    """The folder to write, when it can be; else BadInput, before anything is opened."""
    if output is None:
        if resume:
            raise BadInput("resume goes on with a folder's search: say which with output")
        return None
    folder = Path(output)
    begun = (folder / SEARCH).is_file()
    if resume and not begun:
        raise BadInput(f"no search in {str(folder)!r} to go on with: leave out resume")
    if begun and not resume:
        raise BadInput(f"{str(folder)!r} holds a search: --resume goes on with it, or name another")
    if not begun and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BadInput(f"{str(folder)!r} is there already: name a new folder")
    check_writable(folder / SEARCH)
    return folder


def keep(parts: Opened, place: Path, state: State, sheet: Picture) -> StyleGAN:
    """Write the generator, its card and the sheet into the folder, file by file whole; opened.

    Raises BadInput where it cannot be written.
    """
    recipe = parts.recipe | {"arguments": parts.recipe["arguments"] | {"steps": state.step}}
    licence = parts.adapting.model.licence
    draft = place / ".partial"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        write(draft, parts.adapting.adapted(state).stylegan2, None)
        card = {"licence": licence, "world": parts.adapting.model.world, "adapted": recipe}
        (draft / "limner.json").write_text(json.dumps(card, indent=1))
        (draft / "README.md").write_text(_card(recipe, licence), encoding="utf-8")
        sheet.save(draft / SHEET)
        for file in sorted(draft.iterdir()):
            os.replace(file, place / file.name)
        draft.rmdir()
    except OSError as error:
        raise BadInput(f"cannot write {str(place)!r}: {error.strerror}; make room") from None
    return open_stylegan(place)


def _card(recipe: dict[str, Any], licence: str) -> str:
    """What the folder is, for people; `limner.json` says the same for programs."""
    said, model = recipe["arguments"], recipe["model"]
    clips = "\n".join(
        f"- {clip['name']}, SHA-256 {clip['fingerprint']}" for clip in recipe["clips"]
    )
    flags = " ".join(f"--{name.replace('_', '-')} {said[name]}" for name in _TOLD)
    return f"""---
license: {"mit" if licence == "MIT" else "other"}
tags: [limner]
---
# {said["target"]}, from {said["source"]}

StyleGAN-NADA (Gal et al. 2021) moved the weights of a StyleGAN2 in {said["steps"]} steps, from the
words "{said["source"]}" to "{said["target"]}", without a picture of it. Mapping network, affine
layers, colours and constant are as they were: a w shows the same in both. `{SHEET}` has both;
`{SEARCH}` is what `limner adapt --resume` goes on with. `limner` opens the folder wherever it takes
a StyleGAN2 (`--model`). Licence: {licence}.

From: {model["name"]}, SHA-256 {model["fingerprint"]}

Led by:

{clips}

With {flags}; limner {recipe["limner"]}, torch {recipe["torch"]}.
"""


_TOLD = (
    "layers", "choice_every", "choice_steps", "choice_batch", "batch", "rate", "views", "seed",
)  # fmt: skip


def _save(parts: Opened, place: Path, state: State) -> None:
    place.mkdir(exist_ok=True)
    _saved.keep(place / SEARCH, state, _begun(parts))


def _resumed(parts: Opened, path: Path) -> State:
    """A saved state of this very search."""
    state = _saved.kept(path, _begun(parts), parts.adapting.began().latent)
    if state.step > parts.plan.steps:
        raise BadInput(f"{str(path)!r} has {state.step} steps already: give more --steps")
    return state


def _begun(parts: Opened) -> dict[str, Any]:
    """What a state's meaning depends on, not how many steps are wanted."""
    said = asdict(parts.plan) | {key: parts.recipe[key] for key in ("model", "clips")}
    for free in ("steps", "truncation"):
        del said[free]
    return said
