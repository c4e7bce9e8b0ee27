"""The world ``faces``: portraits, captioned, every attribute of them known and free to change.

Pictures are 128 pixels square. ``World(seed=s).draw([i])`` is a pure function of (s, i): the same
picture, captions and truth in any batch and any order. ``paint(replace(face, smile=1.0))`` draws
the same person smiling, and leaves alone what a smile does not touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import numpy as np

from limner.errors import BadInput
from limner.noise import Noise
from limner.worlds._faces_aligned import aligned
from limner.worlds._faces_captions import CHOICES, canonical, held_out, phrasings
from limner.worlds._faces_drawn import STYLES
from limner.worlds._faces_face import PARTS, Face, age_group, expression
from limner.worlds._faces_ink import SIDE
from limner.worlds._faces_paint import landmarks, paint
from limner.worlds._faces_sample import DRAWS, sample
from limner.worlds._faces_twins import apart, twin

__all__ = [
    "PARTS",
    "STYLES",
    "Face",
    "Faces",
    "World",
    "canonical",
    "held_out",
    "landmarks",
    "paint",
]

_Spots = dict[str, tuple[int, int]]
_OTHERS = 3  # phrasings beside the canonical one


@dataclass
class Faces:
    """A drawn batch. ``landmarks``, ``masks``, ``maps`` are there where ``annotate`` was asked."""

    pictures: np.ndarray  # uint8 (b, 128, 128, 3)
    captions: list[list[str]]  # the canonical phrasing first
    faces: list[Face]
    styles: list[str | None]  # one a picture, of ``STYLES`` or None
    landmarks: list[dict[str, tuple[int, int]]] = field(default_factory=list)  # (x, y) by name
    masks: list[np.ndarray] = field(default_factory=list)  # bool (n, 128, 128), one a part
    maps: list[np.ndarray] = field(default_factory=list)  # uint8 (128, 128): the part's number

    def truth(self, row: int) -> dict[str, Any]:
        """Everything that is true of one picture, as plain JSON values (masks left out)."""
        face = self.faces[row]
        spots = (
            {name: list(at) for name, at in self.landmarks[row].items()} if self.landmarks else None
        )
        return {
            "captions": self.captions[row],
            **asdict(face),
            "style": self.styles[row],
            "age_group": age_group(face.age),
            "expression": expression(face),
            "landmarks": spots,
            "parts": list(PARTS),  # what the masks show, in their order
        }


class World:
    """The world ``faces``.

    Args:
        seed: which world; pictures of two seeds have nothing in common.
        split: ``train``, ``held_out`` (the one combination in ten kept from training) or ``all``.
        styled: share of the pictures that are drawn in one of ``STYLES``, each as often as the
            others; with any share the people are the same.
        aligned: 1 cuts the pictures out about the face, eyes level and in the same place.
        twins: faces come in groups of this many that differ in one attribute, and captions tell it.
    """

    nouns = PARTS[1:]  # what the numbers of a map from 1 on mean

    def __init__(
        self,
        seed: int = 0,
        *,
        split: str = "train",
        styled: float = 0.0,
        aligned: int = 0,
        twins: int = 1,
    ) -> None:
        if split not in ("train", "held_out", "all"):
            raise BadInput(f"a split is train, held_out or all, not {split!r}")
        if not 0 <= styled <= 1:
            raise BadInput(f"styled {styled}: give a share from 0 to 1")
        if aligned not in (0, 1):
            raise BadInput(f"aligned {aligned}: give 1 or 0")
        if twins < 1:
            raise BadInput(f"twins {twins}: give 1 (every picture its own face) or more")
        self.seed, self.split, self.styled, self.aligned = seed, split, styled, aligned
        self.twins = twins

    def face(self, index: int) -> Face:
        """The face of this index, 0 or more, in this world's split."""
        group, place = divmod(index, self.twins)
        return self._group(group, place + 1)[place]

    def _group(self, group: int, size: int) -> list[Face]:
        """The first faces of a group of twins."""
        others = self._any(group)
        faces = [next(filter(self._ours, others))]
        if size > 1:
            which = float(Noise(self.seed, [group]).uniform((), purpose="twins"))
            for _ in range(size - 1):
                faces.append(twin(faces, others, which, self._ours))
        return faces

    def _any(self, group: int) -> Iterator[Face]:
        """Faces of whichever split, a group's own, without end."""
        noise = Noise(self.seed, [group])
        for step in count():
            yield sample(noise.uniform((DRAWS,), step=step, purpose="faces")[0].tolist())

    def _ours(self, face: Face) -> bool:
        """Whether it belongs to this world's split."""
        return self.split == "all" or held_out(face) == (self.split == "held_out")

    def portrait(self, face: Face, style: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """A face as this world shows it: the picture and its parts, as ``paint`` has them."""
        return self._shown(face, style)[:2]

    def _shown(self, face: Face, style: str | None) -> tuple[np.ndarray, np.ndarray, _Spots]:
        picture, parts = paint(face, style)
        spots = landmarks(face)
        return aligned(picture, parts, spots) if self.aligned else (picture, parts, spots)

    def draw(self, indices: Sequence[int], *, annotate: bool = False) -> Faces:
        """Draw the pictures of these indices, (b,) ints of 0 or more."""
        batch = Faces(np.empty((len(indices), SIDE, SIDE, 3), np.uint8), [], [], [])
        noise = Noise(self.seed, indices)
        choices = noise.uniform((_OTHERS, CHOICES), purpose="captions")
        styles = noise.uniform((2 + _OTHERS,), purpose="styles")
        groups = {each // self.twins for each in map(int, indices)}
        kin_of = {group: self._group(group, self.twins) for group in groups}
        for row, index in enumerate(indices):
            kin = kin_of[index // self.twins]
            face = kin[index % self.twins]
            styled, which, *turns = styles[row].tolist()
            style = STYLES[int(which * len(STYLES))] if styled < self.styled else None
            batch.faces.append(face)
            batch.styles.append(style)
            told = (choices[row].tolist(), style, turns, apart(kin))
            batch.captions.append(phrasings(face, *told))
            batch.pictures[row], parts, spots = self._shown(face, style)
            if annotate:
                batch.landmarks.append(spots)
                batch.masks.append(parts[None] == np.arange(len(PARTS))[:, None, None])
                batch.maps.append(parts)
        return batch

    def stream(self, start: int, batch: int) -> Iterator[Faces]:
        """Batches without end, from index ``start`` on."""
        while True:
            yield self.draw(range(start, start + batch))
            start += batch
