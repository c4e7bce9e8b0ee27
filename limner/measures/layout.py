"""Do boxes hold what was asked for there? Painted layouts, judged by the eye of `compose`.

The layouts are those of the world's own pictures: held-out scenes with one to four things anywhere
(`_things.py`). The eye is told how many things to look for, and nothing else; the same eye looks at
the true pictures, and what it gets wrong there is reported as its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limner.measures import Watch
from limner.measures._eye import Eye
from limner.measures._painted import Kept
from limner.measures._share import Share, checked, share
from limner.measures._templates import RES
from limner.measures._things import Asked, Look, about, asked, look, paint_all, pixels_of
from limner.models._text_to_image import TextToImage
from limner.picture import Picture
from limner.worlds._scattered import named

__all__ = ["HELD", "Boxes", "Layouts", "layout"]

HELD = 0.5  # of intersection over union, from which a box holds what was found


@dataclass(frozen=True)
class Boxes:
    """A layout and, of each box, whether it holds its thing."""

    prompt: str
    held: tuple[bool, ...]
    coloured: tuple[bool, ...]  # of those with a colour: … and in its colour


@dataclass(frozen=True)
class Layouts:
    """held: the share of boxes in which the eye finds the named thing, of all 29, with an overlap
    of at least half (intersection over union); coloured: of shapes, which are found in their
    colour, too; whole: of pictures, all of whose boxes hold; by_count: `held` by how many boxes
    there are. The `eye_` figures are the same on the true pictures."""

    model: str
    method: str
    seed: int
    held: Share
    coloured: Share
    whole: Share
    by_count: dict[int, Share]
    eye_held: Share
    eye_whole: Share
    layouts: tuple[Boxes, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        names = ("held", "coloured", "whole", "eye_held", "eye_whole")
        shares = {name: getattr(self, name).told() for name in names}
        counts = {str(count): each.told() for count, each in self.by_count.items()}
        plain = {"model": self.model, "method": self.method, "seed": self.seed}
        layouts = [asdict(each) for each in self.layouts]
        return plain | shares | {"by_count": counts, "layouts": layouts}


def layout(
    model: str | Path | TextToImage = "embedded",
    *,
    adapter: str | None = None,
    method: str | None = None,
    count: int = 64,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Layouts:
    """Paints held-out layouts by `limner.layout` and reports how many boxes hold their thing.

    Args:
        model: "embedded", a folder, a hub id, or what open_model gave
        adapter: as of `limner.layout`
        method: as of `limner.layout`
        count: how many layouts
        seed: of the painting
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted and their number

    Raises BadInput when the model, the adapter, the font or the folder cannot be used.
    """
    from limner.models._open import open_model
    from limner.tasks import layout as task
    from limner.tasks._regions import conditioned, method_of

    checked("count", count, 1, 100_000)
    eye, scenes = Eye(), asked(count)
    opened = open_model(model) if isinstance(model, (str, Path)) else model
    opened = conditioned(opened, method, adapter)
    way = method_of(opened)
    kept = Kept(folder, about(opened, seed, f"layout {way}")) if folder else None

    def one(each: Asked) -> Picture:
        boxes, first = boxes_text(each), int(each.name[:5])
        return task.layout(
            each.scene.caption, boxes=boxes, first=first, method=way, seed=seed, model=opened
        )[0]

    pictures = paint_all(scenes, one, kept, watch)
    found = [_held(eye, each, picture) for each, picture in zip(scenes, pictures)]
    true = [_held(eye, each, Picture(pixels_of(each.scene))) for each in scenes]
    counts = sorted({len(each.held) for each in found})
    return Layouts(
        f"{opened.name} {opened.fingerprint[:16]}",
        way,
        seed,
        share(held for each in found for held in each.held),
        share(held for each in found for held in each.coloured),
        share(all(each.held) for each in found),
        {n: share(held for e in found if len(e.held) == n for held in e.held) for n in counts},
        share(held for each in true for held in each.held),
        share(all(each.held) for each in true),
        tuple(found),
    )


def boxes_text(each: Asked) -> str:
    """As `limner layout --boxes` takes them."""
    parts = []
    for thing, box in zip(each.scene.things, each.boxes, strict=True):
        numbers = ",".join(f"{end:.4f}" for end in box)
        parts.append(f"{named(thing)}: {numbers}")
    return "; ".join(parts)


def _held(eye: Eye, each: Asked, picture: Picture) -> Boxes:
    seen = look(eye, picture.pixels, len(each.scene.things))
    held, coloured = [], []
    for thing, box in zip(each.scene.things, each.boxes, strict=True):
        inside = _inside(seen, thing.noun, box.tolist())
        held.append(bool(inside))
        if thing.colour:
            coloured.append(thing.colour in inside)
    return Boxes(each.scene.caption, tuple(held), tuple(coloured))


def _inside(seen: Look, noun: str, box: Sequence[float]) -> list[str | None]:
    """The colours of the things of this noun that were found in the box."""
    return [
        each.found.thing.colour
        for each in seen.things
        if each.there
        and each.found.thing.noun == noun
        and overlap([end / RES for end in each.found.box], box) >= HELD
    ]


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / max(sum(areas) - width * height, 1e-9)
