"""Is what was asked for in the hole? Painted holes, judged by the eye of `compose`.

Of held-out scenes of the world one thing is masked, its box and a little around it, and another one
is asked for in its place. The eye is told how many things to look for and nothing else; on the true
pictures of the scenes that were asked for it has the same to say, which is its own error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.measures import Watch
from limner.measures._eye import Eye
from limner.measures._painted import Kept, number, painted
from limner.measures._share import Share, checked, share
from limner.measures._templates import RES
from limner.measures._things import about, look
from limner.models._text_to_image import TextToImage
from limner.picture import Picture, from_uint8
from limner.worlds import _vocabulary as words
from limner.worlds._captions import Scene, canonical
from limner.worlds.scenes import SIDE, Thing, World

__all__ = ["Filled", "Holes", "inpaint"]

_SEED = 1  # of the world; training's is 0
_AROUND = 6  # pixels about the thing's box
_RELATIONS = (None, "and", "next to", "left of", "right of", "above", "below")


@dataclass(frozen=True)
class Filled:
    """A prompt, and whether the thing asked for is in the hole."""

    prompt: str
    present: bool
    coloured: bool | None  # … in its colour, where it has one


@dataclass(frozen=True)
class Holes:
    """present: the share of holes in which the eye finds the named thing, of all 29, with most of
    its outline in the mask; coloured: of shapes, in their colour, too; eye: the same on the world's
    own pictures of what was asked for."""

    model: str
    seed: int
    present: Share
    coloured: Share
    single: Share  # where there is nothing else in the picture
    eye: Share
    filled: tuple[Filled, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        names = ("present", "coloured", "single", "eye")
        shares = {name: getattr(self, name).told() for name in names}
        plain = {"model": self.model, "seed": self.seed}
        return plain | shares | {"filled": [asdict(each) for each in self.filled]}


@dataclass(frozen=True, eq=False)
class _Hole:
    """A picture (128, 128, 3) uint8, a mask (128, 128) bool, and what is asked for in it."""

    picture: np.ndarray
    mask: np.ndarray
    scene: Scene
    thing: Thing

    @property
    def name(self) -> str:
        return canonical(self.scene)


def inpaint(
    model: str | Path | TextToImage = "embedded",
    *,
    adapter: str | None = None,
    resample: int | None = None,
    count: int = 64,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Holes:
    """Fills holes in held-out scenes by `limner.inpaint`; how often is the thing asked for there?

    Args:
        model: "embedded", a folder, a hub id, or what open_model gave
        adapter: as of `limner.inpaint`
        resample: as of `limner.inpaint`
        count: how many holes
        seed: of the painting
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted and their number

    Raises BadInput when the model, the adapter, the font or the folder cannot be used.
    """
    from limner.models._open import open_model
    from limner.models.adapter import with_adapter
    from limner.tasks import inpaint as task

    checked("count", count, 1, 100_000)
    eye, holes = Eye(), list(_holes(count))
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    opened = with_adapter(opened, "inpainting", adapter)
    said = f"inpaint resample {resample}"
    kept = Kept(folder, about(opened, seed, said)) if folder else None
    by_name = {each.name: each for each in holes}
    with tempfile.TemporaryDirectory() as here:
        files = Path(here) / "picture.png", Path(here) / "mask.png"

        def paint(names: list[str]) -> list[Picture]:
            out = []
            for name in names:
                each = by_name[name]
                from_uint8(each.picture).save(files[0])
                from_uint8(np.repeat(each.mask[..., None], 3, 2).astype(np.uint8) * 255).save(
                    files[1]
                )
                out += task.inpaint(
                    files[0], name, mask=files[1], resample=resample, adapter="none", seed=seed,
                    first=number(name), model=opened,
                )  # fmt: skip
            return out

        pictures = painted([each.name for each in holes], paint, kept, watch)
    found = [_filled(eye, each, made.pixels, each.mask) for each, made in zip(holes, pictures)]
    everywhere = np.ones((SIDE, SIDE), bool)
    true = [_filled(eye, each, _true(eye, each, i), everywhere) for i, each in enumerate(holes)]
    alone = [len(each.scene.things) == 1 for each in holes]
    return Holes(
        f"{opened.name} {opened.fingerprint[:16]}",
        seed,
        share(each.present for each in found),
        share(each.coloured for each in found if each.coloured is not None),
        share(each.present for each, one in zip(found, alone) if one),
        share(each.present for each in true),
        tuple(found),
    )


def _holes(count: int) -> Iterator[_Hole]:
    """Scenes of one or two things of no style or material, one of which is to be another."""
    world, seen, index = World(_SEED, split="held_out"), set[str](), 0
    while len(seen) < count:
        drawn = world.draw([index], annotate=True)
        scene, boxes = drawn.scenes[0], drawn.boxes[0]
        index += 1
        plain = scene.count == 1 and not scene.style and scene.relation in _RELATIONS
        if not plain or any(thing.material or thing.size for thing in scene.things):
            continue
        at = index % len(scene.things)
        other = _other(world, scene, at, index)
        things = tuple(other if i == at else each for i, each in enumerate(scene.things))
        x0, y0, x1, y1 = boxes[at]
        mask = np.zeros((SIDE, SIDE), bool)
        mask[max(0, y0 - _AROUND) : y1 + _AROUND, max(0, x0 - _AROUND) : x1 + _AROUND] = True
        hole = _Hole(drawn.pictures[0], mask, replace(scene, things=things), other)
        if hole.name not in seen:
            seen.add(hole.name)
            yield hole


def _other(world: World, scene: Scene, at: int, index: int) -> Thing:
    """A thing that is not in the scene, and can be seen in front of its background."""
    clash = words.BACKGROUNDS[scene.background][1]
    colours = [name for name in words.COLOURS if name not in clash]
    there = {thing.noun for thing in scene.things}
    nouns = [noun for noun in world.nouns if noun not in there]
    noun = nouns[index * 7 % len(nouns)]
    return Thing(noun, colours[index % len(colours)] if noun in words.SHAPES else None)


def _filled(eye: Eye, each: _Hole, pixels: Tensor, mask: np.ndarray) -> Filled:
    """Whether the thing is found with most of its outline in the mask."""
    by = SIDE // RES
    inside = torch.from_numpy(mask.reshape(RES, by, RES, by).mean((1, 3)))
    colours = [
        thing.found.thing.colour
        for thing in look(eye, pixels, len(each.scene.things)).things
        if thing.there
        and thing.found.thing.noun == each.thing.noun
        and float((thing.found.cover * inside).sum()) > 0.5 * float(thing.found.cover.sum())
    ]
    coloured = each.thing.colour in colours if each.thing.colour else None
    return Filled(each.name, bool(colours), coloured)


def _true(eye: Eye, each: _Hole, seed: int) -> Tensor:
    return torch.tensor(eye.true_picture(each.scene, seed)).permute(2, 0, 1) / 255
