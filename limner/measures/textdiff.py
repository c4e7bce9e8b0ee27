"""Does a picture change as the words do? Text differences, judged by the eye of `compose`.

Of held-out scenes of one thing the noun, the colour or the background is changed in the words, and
`limner.textdiff` changes the world's picture. The eye, which shares nothing with the models, says
whether the new attribute is there; on the world's own pictures of the changed scenes it has the
same to say, which is its own error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limner.measures import Watch
from limner.measures._eye import Answers, Eye
from limner.measures._painted import Kept, painted
from limner.measures._share import Share, checked, share
from limner.measures._things import about
from limner.models._text_to_image import TextToImage
from limner.picture import Picture, from_uint8
from limner.worlds import _vocabulary as vocabulary
from limner.worlds._captions import Scene, canonical
from limner.worlds.scenes import Thing, World

__all__ = ["KINDS", "Changed", "TextDiffs", "textdiff"]

_SEED = 1  # of the world; training's is 0
# What is changed → the question about it, and the one about what is to stay.
_QUESTIONS = {
    "noun": ("object", "background"),
    "colour": ("colours", "object"),
    "background": ("background", "object"),
}
KINDS = tuple(_QUESTIONS)


@dataclass(frozen=True)
class Changed:
    """A text difference, whether the picture has what is new, and what was to stay, if that was
    asked."""

    before: str
    after: str
    kind: str
    flipped: bool
    stayed: bool | None


@dataclass(frozen=True)
class TextDiffs:
    """flipped: the share of pictures that show the new attribute; kinds: the same by what was
    changed; stayed: that show the attribute that was to stay; before: that were said to show the
    new one unchanged, and eye: the share of flips seen in true pictures of what was asked for."""

    model: str
    amount: float
    flipped: Share
    kinds: dict[str, Share]
    stayed: Share
    before: Share
    eye: Share
    changed: tuple[Changed, ...]

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        shares = {
            name: getattr(self, name).told() for name in ("flipped", "stayed", "before", "eye")
        }
        kinds = {kind: each.told() for kind, each in self.kinds.items()}
        plain = {"model": self.model, "amount": self.amount}
        return plain | shares | {"kinds": kinds, "changed": [asdict(each) for each in self.changed]}


@dataclass(frozen=True, eq=False)
class _Asked:
    """A scene of the world with its picture (128, 128, 3) uint8, and what it is to become."""

    number: int
    kind: str
    picture: np.ndarray
    scene: Scene
    wanted: Scene

    @property
    def name(self) -> str:
        return f"{self.number:05} {canonical(self.scene)} to {canonical(self.wanted)}"


def textdiff(
    model: str | Path | TextToImage = "embedded",
    *,
    decoder: str | None = None,
    amount: float = 0.5,
    words: bool = False,
    guidance_scale: float | None = None,
    steps: int | None = None,
    count: int = 96,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> TextDiffs:
    """Changes held-out scenes by `limner.textdiff`; how often is what the words changed changed?

    Args:
        model: "embedded", a folder, a hub id, or what open_model gave
        decoder: as of `limner.textdiff`, as are amount, words, guidance_scale and steps
        count: how many pictures, of the three kinds in turn
        folder: where pictures are kept, and are not painted again
        watch: called with the pictures painted and their number

    Raises BadInput when the model, the decoder, the font or the folder cannot be used.
    """
    from limner.tasks import textdiff as task
    from limner.tasks._unclip import open_decoder

    checked("count", count, 1, 100_000)
    eye, scenes = Eye(), list(asked(count))
    opened = open_decoder(model, decoder).model
    said = f"textdiff {amount} words {words} scale {guidance_scale} steps {steps}"
    kept = Kept(folder, about(opened, 0, said)) if folder else None
    by_name = {each.name: each for each in scenes}
    how: dict[str, Any] = {"amount": amount, "words": words, "guidance_scale": guidance_scale}
    with tempfile.TemporaryDirectory() as here:
        file = Path(here) / "picture.png"

        def paint(names: list[str]) -> list[Picture]:
            out = []
            for each in (by_name[name] for name in names):
                from_uint8(each.picture).save(file)
                texts = canonical(each.scene), canonical(each.wanted)
                out += task.textdiff(file, *texts, model=opened, steps=steps, **how)
            return out

        pictures = painted([each.name for each in scenes], paint, kept, watch)
    return _told(opened, amount, eye, scenes, pictures)


def _told(
    model: TextToImage,
    amount: float,
    eye: Eye,
    scenes: Sequence[_Asked],
    pictures: Sequence[Picture],
) -> TextDiffs:
    found = [_changed(eye, each, made) for each, made in zip(scenes, pictures, strict=True)]
    return TextDiffs(
        f"{model.name} {model.fingerprint[:16]}",
        amount,
        share(each.flipped for each in found),
        {kind: share(e.flipped for e in found if e.kind == kind) for kind in KINDS[: len(found)]},
        share(each.stayed for each in found if each.stayed is not None),
        share(_changed(eye, each, from_uint8(each.picture)).flipped for each in scenes),
        share(_changed(eye, each, _true(eye, each)).flipped for each in scenes),
        tuple(found),
    )


def asked(count: int) -> Iterator[_Asked]:
    """So many held-out scenes, the kinds in turn, each with something changed."""
    world, number, made = World(_SEED, split="held_out"), 0, 0
    while made < count:
        drawn = world.draw([number])
        scene, kind = drawn.scenes[0], KINDS[made % len(KINDS)]
        rng = np.random.Generator(np.random.Philox(key=[_SEED, number], counter=[0, 0, 0, 1]))
        wanted = _other(world, scene, kind, rng) if _fair(scene) else None
        if wanted is not None:
            yield _Asked(number, kind, drawn.pictures[0], scene, wanted)
            made += 1
        number += 1


def _fair(scene: Scene) -> bool:
    """One thing, as itself, in no style."""
    plain = scene.style is None and scene.things[0].material is None
    return len(scene.things) == 1 and scene.count == 1 and plain


def _other(world: World, scene: Scene, kind: str, rng: np.random.Generator) -> Scene | None:
    """The scene with another noun, colour or background; None where it has no such thing."""
    thing, ground = scene.things[0], scene.background
    if kind == "background":
        clear = [name for name in vocabulary.BACKGROUNDS if name not in (ground, "plain")]
        return replace(scene, background=_chosen(rng, [g for g in clear if _seen(thing, g)]))
    if kind == "colour":
        if thing.colour is None:
            return None
        colours = [
            replace(thing, colour=name) for name in vocabulary.COLOURS if name != thing.colour
        ]
        others = [each for each in colours if _seen(each, ground)]
        return replace(scene, things=(others[int(rng.integers(len(others)))],))
    nouns = vocabulary.SHAPES if thing.colour else tuple(world.glyphs)
    noun = _chosen(rng, [name for name in nouns if name != thing.noun])
    return replace(scene, things=(replace(thing, noun=noun),))


def _seen(thing: Thing, ground: str) -> bool:
    """Whether its colour is another than the background's."""
    return thing.colour not in vocabulary.BACKGROUNDS[ground][1]


def _chosen(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _true(eye: Eye, each: _Asked) -> Picture:
    return Picture(torch.tensor(eye.true_picture(each.wanted, each.number)).permute(2, 0, 1) / 255)


def _changed(eye: Eye, each: _Asked, picture: Picture) -> Changed:
    answers: Answers = eye.answers(picture.pixels, each.wanted)
    new, old = _QUESTIONS[each.kind]
    texts = canonical(each.scene), canonical(each.wanted)
    return Changed(*texts, each.kind, answers[new], answers.get(old))
