"""Do paintings by search agree with their words in the eyes of a CLIP that the search never saw?

A search can please the CLIPs that it follows with pictures that nobody else would call so. So a
CLIP that was not followed is asked, beside those that were, whether a painting is nearer to its
prompt than random scenes of the world are.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures import Paint, Watch
from limner.measures._painted import Kept, number, painted
from limner.measures._prompts import Prompt, prompts
from limner.measures._share import Share, checked, share
from limner.models import embedded
from limner.models.clip import Clip, open_clip
from limner.picture import Picture
from limner.worlds.scenes import World

__all__ = ["SCENES", "Agreement", "Asked", "Look", "agreement"]

SCENES = 20  # other pictures, of its own for each prompt
_WORLD = 1  # seed; training's is 0


@dataclass(frozen=True)
class Asked:
    """A prompt; the painting's cosine with it, the true picture's, and the scenes' highest."""

    prompt: str
    painting: float
    truth: float
    scenes: float


@dataclass(frozen=True)
class Look:
    """What one CLIP says."""

    clip: str
    asked: tuple[Asked, ...]

    @property
    def above(self) -> Share:
        """Paintings nearer to their prompts than every one of the SCENES random scenes."""
        return share(each.painting > each.scenes for each in self.asked)

    @property
    def truth(self) -> Share:
        """The same of the world's own pictures of the prompts: what this CLIP itself gets right."""
        return share(each.truth > each.scenes for each in self.asked)

    @property
    def cosine(self) -> float:
        """The paintings' mean cosine with their prompts."""
        return statistics.fmean(each.painting for each in self.asked)

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {"above": self.above.told(), "truth": self.truth.told()}
        asked = [asdict(each) for each in self.asked]
        return {"clip": self.clip} | shares | {"cosine": self.cosine, "asked": asked}


@dataclass(frozen=True)
class Agreement:
    """held_out: of the CLIP that judges; followed: of those that the search went after.

    seconds: of one painting, the median of those painted now; None where all were kept
    """

    painter: str
    held_out: Look
    followed: tuple[Look, ...]
    seconds: float | None

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        looks = {"held_out": self.held_out.told(), "followed": [e.told() for e in self.followed]}
        return {"painter": self.painter, "scenes": SCENES, "seconds": self.seconds} | looks


def agreement(
    paint: Paint | None = None,
    *,
    generator: str = "vqgan",
    count: int = 50,
    clip: str | Sequence[str] | None = None,
    judge: str | None = None,
    judge_by: str | None = None,
    judge_followed: bool = False,
    steps: int | None = None,
    views: int | None = None,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Agreement:
    """Paints held-out prompts by search and asks a CLIP that was not followed what it sees.

    Args:
        paint: prompts → one picture each; by default `limner.paint` with what follows
        generator: what paints: a name in limner/generators
        count: so many of the fixed prompts of `compose`, evenly from all kinds
        clip: the CLIPs that are followed, as `limner.paint` takes them
        judge: who is followed, as `limner.paint` takes them; the usual ones when not given
        judge_by: the CLIP that judges; one of limner's own that is not followed when not given
        judge_followed: let a CLIP judge that was followed, which says little
        steps: of each search; the generator's usual number when not given
        views: in each step; the generator's usual number when not given
        seed: of the painting
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted, and their number in all

    Raises BadInput when the judge was followed, or when the generator, a CLIP, the font or the
    folder cannot be used.
    """
    from limner.tasks._checks import clip_names
    from limner.tasks._generators import usual
    from limner.tasks.paint import MOST_STEPS, MOST_VIEWS

    chosen = prompts(count)
    usual(generator)
    for what, value, most in (("steps", steps, MOST_STEPS), ("views", views, MOST_VIEWS)):
        checked(what, 1 if value is None else value, 1, most)
    followed = [open_clip(name) for name in clip_names(clip)]
    apart = open_clip(judge_by or _apart(followed))
    if not judge_followed and any(_same(apart, each) for each in followed):
        raise BadInput(
            f"the CLIP {apart.name!r} is followed, and so is no judge of its own work: give "
            "another with --judge-by, or --judge-followed"
        )
    world = World(_WORLD, split="held_out")
    if world.shapes_only:
        raise BadInput("the prompts name emoji glyphs: install fonts-noto-color-emoji")
    spent: list[float] = []
    names = [each.name for each in followed]
    how = {"judge": judge, "steps": steps, "views": views, "seed": seed}
    do = paint or _searching(generator, names, how, spent)
    about = _about(generator, followed, how)
    kept = Kept(folder, about) if folder else None
    pictures = painted([each.words for each in chosen], do, kept, watch, at_once=1)
    shown = [each.pixels for each in pictures]
    first, *others = _looks([apart, *followed], world, chosen, shown)
    seconds = statistics.median(spent) if spent else None
    return Agreement("given" if paint else generator, first, tuple(others), seconds)


def _apart(followed: Sequence[Clip]) -> str:
    """The first of limner's own CLIPs that is here and not followed."""
    for name in embedded.here():
        clip = open_clip(name)
        if not any(_same(clip, each) for each in followed):
            return name
    raise BadInput(
        "every CLIP that limner has here is followed: name another to judge with --judge-by"
    )


def _same(one: Clip, other: Clip) -> bool:
    """Whether they have the same weights, whatever the folders' names; or had, before one was
    rounded to sixteen bits to be embedded."""
    a, b = one.towers.state_dict(), other.towers.state_dict()
    if {name: part.shape for name, part in a.items()} != {n: part.shape for n, part in b.items()}:
        return False
    return all(torch.equal(a[name].half(), b[name].half()) for name in a)


def _searching(
    generator: str,
    clips: Sequence[str],
    how: dict[str, Any],
    spent: list[float],
) -> Paint:
    """`limner.paint` with `how`, whose seconds for each picture go into `spent`.

    A prompt's picture depends on the prompt and the seed alone, not on what else is painted.
    """
    from limner.tasks.paint import paint

    def do(said: list[str]) -> list[Picture]:
        out: list[Picture] = []
        for prompt in said:
            began = time.perf_counter()
            out += paint(
                prompt,
                generator=generator,
                clip=clips,
                first=number(prompt),
                **how,
            )
            spent.append(time.perf_counter() - began)
        return out

    return do


def _about(generator: str, clips: Sequence[Clip], how: dict[str, Any]) -> dict[str, str | int]:
    """By what a folder of pictures is known."""
    marks = " ".join(each.fingerprint[:16] for each in clips)
    said = {name: "usual" if value is None else value for name, value in how.items()}
    return {"generator": generator, "followed": marks, **said}


def _looks(
    clips: Sequence[Clip], world: World, chosen: Sequence[Prompt], shown: Sequence[Tensor]
) -> list[Look]:
    """Each CLIP's; all see the same scenes."""
    asked: list[list[Asked]] = [[] for _ in clips]
    for i, (prompt, painting) in enumerate(zip(chosen, shown)):
        drawn = world.draw(range(SCENES * i, SCENES * (i + 1))).pictures
        chance = np.random.Generator(np.random.Philox(key=[i, _WORLD]))
        true = world.paint(prompt.scene, chance)[0]
        others = torch.from_numpy(np.concatenate([true[None], drawn])).permute(0, 3, 1, 2) / 255
        for clip, rows in zip(clips, asked):
            words = clip.embed_texts([prompt.words])[0]
            cosine = float(clip.embed_pictures(painting[None])[0] @ words)
            truth, *scenes = (clip.embed_pictures(others) @ words).tolist()
            rows.append(Asked(prompt.words, cosine, truth, max(scenes)))
    return [Look(clip.name, tuple(rows)) for clip, rows in zip(clips, asked)]
