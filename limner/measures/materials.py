"""Does an edit by layer give a thing another material, and leave the rest alone?

The figure of Text2LIVE (Bar-Tal et al. 2022) on scenes whose truth is known: the eye of `compose`,
which knows no network, says whether the material is on the object; the object's true mask says what
is outside of it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from limner.errors import BadInput
from limner.measures import Watch
from limner.measures._eye import Eye
from limner.measures._painted import Kept
from limner.measures._share import Share, checked, share
from limner.models.clip import Clip, open_clip
from limner.picture import from_uint8, load
from limner.tasks.edit import MOST_STEPS, MOST_VIEWS, Edited
from limner.worlds.scenes import Scene, World, canonical, made_of

__all__ = ["MATERIALS", "Edit", "Looked", "Materials", "materials"]

MATERIALS = ("wooden", "golden", "ice", "stained glass", "crochet")  # in turn
_WORLD = 77  # seed; training's is 0
_AT_ONCE = 32

Edit = Callable[[Path, str], Edited]
"""A picture's file and a text → what `limner.edit` gives."""


@dataclass(frozen=True)
class Asked:
    """A held-out scene: its picture uint8 (128, 128, 3), and the object's pixels (128, 128)."""

    scene: Scene
    material: str
    picture: np.ndarray
    mask: np.ndarray

    @property
    def wanted(self) -> Scene:
        """The scene as it is to be: what the eye is asked about."""
        thing = made_of(self.scene.things[0], self.material)
        return replace(self.scene, things=(thing,))

    @property
    def text(self) -> str:
        """What is to change and nothing else, as the method layer asks for: "a cat made of ice"."""
        return canonical(Scene((replace(self.wanted.things[0], size=""),)))


@dataclass(frozen=True)
class Looked:
    """One edit.

    there:    the eye finds the material on the object
    before:   it did so already before the edit
    true:     it does in the world's own picture of such a scene
    outside:  mean absolute change of the pixels outside the object's true mask, of 1
    inside:   the same within it
    exact:    the layer laid over the picture, by Pillow, is the edit, bit for bit
    """

    text: str
    material: str
    there: bool
    before: bool
    true: bool
    outside: float
    inside: float
    exact: bool


@dataclass(frozen=True)
class Materials:
    """seconds: of one edit, the median of those made now; None where all were kept."""

    clips: tuple[str, ...]
    looked: tuple[Looked, ...]
    seconds: float | None

    @property
    def found(self) -> Share:
        return share(each.there for each in self.looked)

    @property
    def before(self) -> Share:
        return share(each.before for each in self.looked)

    @property
    def true(self) -> Share:
        """Of the world's own pictures: what the eye itself gets right."""
        return share(each.true for each in self.looked)

    @property
    def kinds(self) -> dict[str, Share]:
        """Found, by material."""
        return {
            name: share(each.there for each in self.looked if each.material == name)
            for name in MATERIALS
        }

    @property
    def outside(self) -> float:
        return statistics.fmean(each.outside for each in self.looked)

    @property
    def inside(self) -> float:
        return statistics.fmean(each.inside for each in self.looked)

    @property
    def exact(self) -> Share:
        return share(each.exact for each in self.looked)

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {"found": self.found, "before": self.before, "true": self.true}
        told: dict[str, Any] = {name: each.told() for name, each in shares.items()}
        told |= {"outside": self.outside, "inside": self.inside, "exact": self.exact.told()}
        told["kinds"] = {name: each.told() for name, each in self.kinds.items()}
        looked = [asdict(each) for each in self.looked]
        return told | {"clips": self.clips, "seconds": self.seconds, "edits": looked}


def materials(
    edit: Edit | None = None,
    *,
    count: int = 50,
    clip: str | None = None,
    steps: int | None = None,
    views: int | None = None,
    strength: float | None = None,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Materials:
    """Edits held-out scenes of one object by the method layer, a material in turn, and looks.

    Args:
        edit: a picture's file and a text → the edit; by default `limner.edit` with what follows
        count: how many scenes
        clip: the CLIPs that are followed, as `limner.edit` takes them
        steps: of each search; the method's usual number when not given
        views: in each step; the method's usual number when not given
        strength: how much may change; the method's usual when not given
        seed: of the edits
        folder: where pictures and layers are kept, and are not made again
        watch: called with the edits done, and their number in all

    Raises BadInput when an argument, a CLIP, the font or the folder cannot be used.
    """
    from limner.tasks._checks import clip_names

    checked("count", count, 1, 10_000)
    for what, value, most in (("steps", steps, MOST_STEPS), ("views", views, MOST_VIEWS)):
        checked(what, 1 if value is None else value, 1, most)
    clips = [open_clip(name) for name in clip_names(clip)] if edit is None else []
    eye, scenes = Eye(), list(_scenes(count))
    do = edit or _layering(clips, steps, views, strength, seed)
    about = _about(clips, steps, views, strength, seed)
    spent: list[float] = []
    looked: list[Looked] = []
    with tempfile.TemporaryDirectory() as passing:
        kept = Kept(folder or Path(passing), about)
        for i, asked in enumerate(scenes):
            picture, layer = _edited(asked, kept.place(f"{i:03} {asked.text}"), do, spent)
            looked.append(_looked(eye, asked, i, picture, layer))
            if watch is not None:
                watch(i + 1, count)
    seconds = statistics.median(spent) if spent else None
    return Materials(tuple(each.name for each in clips), tuple(looked), seconds)


def _scenes(count: int) -> Iterator[Asked]:
    """The first held-out scenes of one thing with neither a material nor a style."""
    world, done, first = World(_WORLD, split="held_out"), 0, 0
    while done < count:
        drawn = world.draw(range(first, first + _AT_ONCE), annotate=True)
        for scene, picture, masks in zip(drawn.scenes, drawn.pictures, drawn.masks):
            thing = scene.things[0]
            if len(scene.things) == scene.count == 1 and not (thing.material or scene.style):
                if done < count:
                    yield Asked(scene, MATERIALS[done % len(MATERIALS)], picture, masks[0])
                done += 1
        first += _AT_ONCE


def _layering(
    clips: Sequence[Clip],
    steps: int | None,
    views: int | None,
    strength: float | None,
    seed: int,
) -> Edit:
    from limner.tasks.edit import edit

    followed = ",".join(each.name for each in clips)

    def do(picture: Path, text: str) -> Edited:
        return edit(
            picture,
            text,
            method="layer",
            clip=followed,
            steps=steps,
            views=views,
            strength=strength,
            seed=seed,
        )

    return do


def _about(
    clips: Sequence[Clip],
    steps: int | None,
    views: int | None,
    strength: float | None,
    seed: int,
) -> dict[str, str | int]:
    """By what a folder of pictures is known."""
    return {
        "followed": " ".join(each.fingerprint[:16] for each in clips) or "given",
        "steps": steps or "usual",
        "views": views or "usual",
        "strength": "usual" if strength is None else str(strength),
        "seed": seed,
    }


def _edited(
    asked: Asked, place: Path, do: Edit, spent: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The edit uint8 (h, w, 3) and its layer (h, w, 4), made now or kept.

    The picture is written last: where it is, all that belongs to it is.
    """
    given = place.with_name(f"{place.stem}-given.png")
    above = place.with_name(f"{place.stem}-layer.png")
    if not place.exists():
        from_uint8(asked.picture).save(given)
        began = time.perf_counter()
        made = do(given, asked.text)
        spent.append(time.perf_counter() - began)
        made.save_layer(above)
        made.picture.save(place)
    if not np.array_equal(load(given).uint8(), asked.picture):
        raise BadInput(f"{str(given)!r} is not this world's picture: give another folder")
    with Image.open(above) as layer:
        return load(place).uint8(), np.asarray(layer.convert("RGBA"))


def _looked(eye: Eye, asked: Asked, number: int, picture: np.ndarray, layer: np.ndarray) -> Looked:
    wanted = asked.wanted
    over = Image.alpha_composite(
        Image.fromarray(asked.picture).convert("RGBA"), Image.fromarray(layer)
    )
    change = np.abs(picture.astype(np.float64) - asked.picture).mean(2) / 255
    seen = (picture, asked.picture, eye.true_picture(wanted, number))
    pixels = (from_uint8(each).pixels for each in seen)
    there, before, true = (eye.answers(each, wanted)["material"] for each in pixels)
    return Looked(
        text=asked.text,
        material=asked.material,
        there=there,
        before=before,
        true=true,
        outside=float(change[~asked.mask].mean()),
        inside=float(change[asked.mask].mean()),
        exact=np.array_equal(np.asarray(over.convert("RGB")), picture),
    )
