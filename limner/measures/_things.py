"""Scenes with things anywhere, and the eye of `compose` looking for several things at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limner.measures import Watch
from limner.measures._eye import Eye, Ranked
from limner.measures._painted import Kept, painted
from limner.measures._search import Sight, hidden
from limner.measures._templates import seen
from limner.models._text_to_image import TextToImage
from limner.picture import Picture
from limner.worlds._scattered import Placed, scattered
from limner.worlds.scenes import SIDE, World

__all__ = ["Asked", "Look", "about", "asked", "look", "paint_all", "pixels_of"]

_SEED = 1  # of the world; training's is 0
_LEAST, _MOST = 0.26, 0.8  # of the picture's side: of a thing's longer side, as the eye knows them


@dataclass(frozen=True, eq=False)
class Asked:
    """A scene that is asked for, under a name of its own."""

    name: str
    scene: Placed

    @property
    def boxes(self) -> np.ndarray:
        """(n, 4) in shares of the picture."""
        shares: np.ndarray = self.scene.boxes / SIDE
        return shares


@dataclass(frozen=True, eq=False)
class Look:
    """What the eye sees: things, the likeliest first found, and the background around them."""

    things: list[Ranked]
    background: str


def asked(count: int) -> list[Asked]:
    """The first held-out scattered scenes that the eye can judge: things of no material, whole in
    the picture, of sizes that it has templates of."""
    world, number = World(_SEED, split="held_out"), 0
    out: list[Asked] = []
    while len(out) < count:
        scene = scattered(world, number)
        if _fair(scene):
            out.append(Asked(f"{number:05} {scene.caption}", scene))
        number += 1
    return out


def _fair(scene: Placed) -> bool:
    sides = (scene.boxes[:, 2:] - scene.boxes[:, :2]).max(1) / SIDE
    inside = (scene.boxes[:, :2] > 0).all() and (scene.boxes[:, 2:] < SIDE).all()
    fits = bool(inside and (sides >= _LEAST).all() and (sides <= _MOST).all())
    return fits and not any(thing.material for thing in scene.things)


@torch.no_grad()
def look(eye: Eye, picture: Tensor, count: int) -> Look:
    """Looks for so many things in picture (3, h, w) in [0, 1], knowing nothing else of them: each
    where the others leave it free, all of them twice."""
    small = seen(picture[None])[0]
    sight = Sight(small, eye.grounds.behind(small, eye.grounds.nearest(small)[0]))
    things: list[Ranked] = []
    for _ in range(count):
        things.append(eye.best(eye.plain, sight, hidden(*(each.found for each in things))))
    for i in range(count if count > 1 else 0):
        others = [each.found for j, each in enumerate(things) if j != i]
        things[i] = eye.best(eye.plain, sight, hidden(*others))
    known = [each.found for each in things if each.there]
    return Look(things, eye.grounds.nearest(small, hidden(*known))[0])


def paint_all(
    scenes: Sequence[Asked],
    one: Callable[[Asked], Picture],
    kept: Kept | None,
    watch: Watch | None,
) -> list[Picture]:
    """A picture of each, by a task; those that are kept are not painted again."""
    by_name = {each.name: each for each in scenes}

    def paint(names: list[str]) -> list[Picture]:
        return [one(by_name[name]) for name in names]

    return painted([each.name for each in scenes], paint, kept, watch)


def about(model: TextToImage, seed: int, what: str) -> dict[str, str | int]:
    """What a folder of painted pictures says of them."""
    return {"model": f"{model.name} {model.fingerprint[:16]}", "seed": seed, "what": what}


def pixels_of(scene: Placed) -> Tensor:
    """Its true picture (3, h, w) in [0, 1]."""
    return torch.from_numpy(scene.picture.copy()).permute(2, 0, 1) / 255
