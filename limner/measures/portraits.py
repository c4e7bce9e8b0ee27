"""Do StyleCLIP's three ways give a face what words ask for, and leave the rest of it alone?

StyleCLIP's edits (Patashnik et al. 2021) of faces whose truth is known and that no network has
learned: a classifier that no edit follows says what is there before and after, and a network that
tells people apart whether it is still the same person.

What is looked at is the picture that was given and the one that `limner edit` leaves, not what the
generator paints of them: that is what a user has before and after, and it counts against an edit
what its inversion lost where the edit is opaque. Elsewhere the picture's own pixels stay, so that
to compare with the inverted picture would count things that it has lost, and the edit has not. What
the inversion loses by itself is reported beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limner.errors import BadInput
from limner.measures import Watch
from limner.measures._asked import ASKED, Portrait, without
from limner.measures._face_look import Look, opened, same
from limner.measures._painted import Kept
from limner.measures._portraits_told import Edited, Inverted, Portraits
from limner.measures._share import checked
from limner.measures._styleclip import METHODS, Mappers, StyleClip, styleclip
from limner.models.faces import Attributes, Identity
from limner.picture import from_uint8, grid, load, psnr
from limner.tasks.edit import MOST_STEPS, MOST_VIEWS
from limner.worlds.faces import World

__all__ = ["ASKED", "METHODS", "Edit", "portraits"]

_SHOWN = 8  # faces on a sheet

Edit = Callable[[str, str, Sequence[Portrait]], np.ndarray]
"""A method, an attribute and faces → uint8 (b, h, w, 3)."""


def portraits(
    edit: Edit | None = None,
    *,
    methods: Sequence[str] = METHODS,
    asked: Sequence[str] = tuple(ASKED),
    count: int = 100,
    model: str | Path = "embedded",
    mappers: Mappers | None = None,
    directions: str | Path = "embedded",
    clip: str | None = None,
    attributes: str | Path | Attributes = "embedded",
    identity: str | Path | Identity = "embedded",
    strength: float | Mapping[str, float] | None = None,
    threshold: float | None = None,
    steps: int | None = None,
    views: int | None = None,
    inversion_steps: int | None = None,
    at_once: int = 8,
    seed: int = 1,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Portraits:
    """Asks for attributes of held-out faces, cut out about the face, that have them not.

    Each face is inverted once, for all methods and attributes.

    Args:
        edit: a method, an attribute and faces → pictures; by default as `limner edit` with what
            follows, but for the one inversion
        methods: of stylegan (optimisation), mapper and direction
        asked: attributes, of ASKED
        count: faces for each attribute
        model: the StyleGAN2: "embedded", a folder or a hub id
        mappers: for each attribute a folder of `limner train mapper` with the text of ASKED; or one
            folder that holds them
        directions: what `limner train directions` measured
        clip: the CLIPs that the search of stylegan follows, as `limner.edit` takes them
        attributes: what says what is there: "embedded", a folder of `limner train attributes`, or
            what open_attributes gave
        identity: what tells people apart, the same. The search follows limner's own
        strength: how much may change; one number, or by method, the usual one where none is given
        threshold: of direction, as `limner.edit` takes it
        steps: of the search of stylegan; so is views
        inversion_steps: of each inversion; as many as `limner edit` has when not given
        at_once: faces that are edited together
        seed: of the world; training's is 0
        folder: where latents and edits are kept, and are not made again, and contact sheets shown
        watch: called with the inversions and edits done, and their number in all

    Raises BadInput when an argument, a network or the folder cannot be used.
    """
    _check(methods, asked, {"steps": steps, "views": views, "inversion_steps": inversion_steps})
    checked("count", count, 1, 10_000)
    checked("at_once", at_once, 1, 1024)
    strengths = _strengths(strength, methods)
    look = opened(attributes, identity, asked)
    ways = None
    if edit is None:
        ways = styleclip(
            methods,
            asked,
            model=model,
            mappers=mappers,
            directions=directions,
            clip=clip,
            strengths=strengths,
            threshold=threshold,
            steps=steps,
            views=views,
            inversion_steps=inversion_steps,
        )
        edit = ways.edit
    faces = without(World(seed, split="held_out", aligned=1), asked, count)
    several = {each.number: each for some in faces.values() for each in some}
    total = len(methods) * len(asked) * count + (len(several) if ways else 0)
    if folder is not None:
        Kept(folder, {"faces of the world": seed})  # what is numbered within it are this world's
    bench = _Bench(edit, ways, look, at_once, folder, total, watch)
    inverted = bench.inverted(ways, list(several.values())) if ways else None
    edits = [each for name in asked for each in bench.edits(name, methods, faces[name])]
    return Portraits(ways.generator.name if ways else "given", inverted, tuple(edits), bench.spent)


def _check(methods: Sequence[str], asked: Sequence[str], steps: Mapping[str, int | None]) -> None:
    for what, given, known in (("method", methods, METHODS), ("attribute", asked, tuple(ASKED))):
        wrong = [each for each in given if each not in known]
        if wrong or not given or len(set(given)) < len(given):
            raise BadInput(f"{what}s {', '.join(given)!r}: choose of {', '.join(known)}, each once")
    for what, value in steps.items():
        checked(
            what, 1 if value is None else value, 1, MOST_VIEWS if what == "views" else MOST_STEPS
        )


def _strengths(
    strength: float | Mapping[str, float] | None, methods: Sequence[str]
) -> dict[str, float]:
    if strength is None or isinstance(strength, Mapping):
        given = dict(strength or {})
    else:
        given = dict.fromkeys(methods, strength)
    for method, value in given.items():
        if method not in methods or not 0 < value <= 1:
            raise BadInput(
                f"strength {value} of {method!r}: give a number above 0, up to 1, for one of "
                f"{', '.join(methods)}"
            )
    return given


@dataclass(eq=False)
class _Bench:
    """Edits piece by piece, keeps what was made, and looks at it."""

    edit: Edit
    ways: StyleClip | None
    look: Look
    at_once: int
    folder: Path | None
    total: int
    watch: Watch | None
    done: int = 0
    spent: dict[str, list[float]] = field(default_factory=dict)

    def inverted(self, ways: StyleClip, faces: list[Portrait]) -> Inverted:
        """Finds all latents; what is painted of them, unedited, beside what was given."""
        ratios, kept, cosines, spent = list[float](), list[bool](), list[float](), list[float]()
        for some in self._pieces(faces):
            began = time.perf_counter()
            found = ways.invert(some, self.folder)
            spent += [(time.perf_counter() - began) / found] * found if found else []
            shown = ways.shown(some)
            ratios += [psnr(*pair) for pair in zip(shown, ways.targets(some), strict=True)]
            pairs = zip(some, self.look.before(some), self.look.seen(shown), strict=True)
            for face, (was, who), (now, whom) in pairs:
                kept += same(face, was, now).values()
                cosines.append(float(who @ whom))
        return Inverted(tuple(ratios), tuple(kept), tuple(cosines), tuple(spent))

    def edits(
        self, name: str, methods: Sequence[str], faces: Sequence[Portrait]
    ) -> Iterator[Edited]:
        """All methods' edits for one attribute, and in the end their contact sheet."""
        rows = [[each.picture for each in faces[:_SHOWN]]]
        for method in methods:
            kept, row = self._kept(method, name), list[np.ndarray]()
            for some in self._pieces(faces):
                made = self._made(method, name, some, kept)
                row += made[: _SHOWN - len(row)]
                yield from self.look.edits(method, name, some, np.stack(made))
            rows.append(row)
        if self.folder is not None:
            _sheet(self.folder / f"{name.replace(' ', '-')}.png", rows, methods)

    def _made(
        self, method: str, name: str, faces: Sequence[Portrait], kept: Kept | None
    ) -> list[np.ndarray]:
        """The edits of these faces, made now or kept."""
        spent = self.spent.setdefault(method, [])
        places = [kept.folder / each.named(".png") if kept else None for each in faces]
        out = [load(place).uint8() if place and place.exists() else None for place in places]
        todo = [row for row, picture in enumerate(out) if picture is None]
        if todo:
            began = time.perf_counter()
            made = self.edit(method, name, [faces[row] for row in todo])
            spent += [(time.perf_counter() - began) / len(todo)] * len(todo)
            for row, picture in zip(todo, made, strict=True):
                out[row], place = picture, places[row]
                if place is not None:
                    from_uint8(picture).save(place)
        return [picture for picture in out if picture is not None]

    def _kept(self, method: str, name: str) -> Kept | None:
        if self.folder is None:
            return None
        about: dict[str, str | int] = {"method": "given"}
        if self.ways is not None:
            about = self.ways.about(method, name)
        return Kept(self.folder / method / name.replace(" ", "-"), about)

    def _pieces(self, faces: Sequence[Portrait]) -> Iterator[Sequence[Portrait]]:
        """So many as are edited together; each is told when it is done."""
        for first in range(0, len(faces), self.at_once):
            some = faces[first : first + self.at_once]
            yield some
            self.done += len(some)
            if self.watch is not None:
                self.watch(self.done, self.total)


def _sheet(place: Path, rows: list[list[np.ndarray]], methods: Sequence[str]) -> None:
    """The faces as they were given, and below each what the methods made of it."""
    pictures = [from_uint8(each) for row in rows for each in row]
    names = [name for name in ("given", *methods) for _ in rows[0]]
    grid(pictures, columns=len(rows[0]), labels=names).save(place)
