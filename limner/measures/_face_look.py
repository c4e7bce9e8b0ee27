"""What the networks that know faces say of a picture before an edit, and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.errors import BadInput
from limner.measures._asked import ASKED, Portrait
from limner.measures._portraits_told import Edited
from limner.models.faces import Attributes, Identity, open_attributes, open_identity

__all__ = ["Look", "Seen", "opened", "same"]

Seen = tuple[dict[str, bool], Tensor]
"""Attributes by name, and who it is, (d,) of length 1."""


class Look:
    """Asks both networks; about a face as it was given once."""

    def __init__(self, attributes: Attributes, identity: Identity) -> None:
        self.attributes, self.identity = attributes, identity
        self._before: dict[int, Seen] = {}

    @torch.no_grad()
    def seen(self, pictures: Tensor) -> list[Seen]:
        """Of each of (b, 3, h, w) in [0, 1]."""
        said = (self.attributes.probabilities(pictures) > 0.5).tolist()
        told = [dict(zip(self.attributes.names, row, strict=True)) for row in said]
        return list(zip(told, self.identity.embed(pictures).float().cpu(), strict=True))

    def before(self, faces: Sequence[Portrait]) -> list[Seen]:
        """Of each as it was given."""
        for each in faces:
            if each.number not in self._before:
                (self._before[each.number],) = self.seen(_pixels(each.picture[None]))
        return [self._before[each.number] for each in faces]

    def edits(
        self, method: str, name: str, faces: Sequence[Portrait], edited: np.ndarray
    ) -> Iterator[Edited]:
        """edited:  uint8 (b, h, w, 3)"""
        out = (name, *ASKED[name].entangled)
        pairs = zip(faces, self.before(faces), self.seen(_pixels(edited)), strict=True)
        for face, (was, who), (now, whom) in pairs:
            kept = same(face, was, now, out)
            yield Edited(method, name, face.number, now[name], was[name], kept, float(who @ whom))


def opened(
    attributes: str | Path | Attributes, identity: str | Path | Identity, asked: Sequence[str]
) -> Look:
    """BadInput where a network is not there, or does not know what is asked."""
    own = attributes if isinstance(attributes, Attributes) else open_attributes(attributes)
    unknown = [name for name in asked if name not in own.names]
    if unknown:
        raise BadInput(
            f"{own.name!r} does not know {', '.join(unknown)}, only {', '.join(own.names)}: train "
            "attributes on --data 'world:faces?aligned=1'"
        )
    return Look(own, identity if isinstance(identity, Identity) else open_identity(identity))


def same(
    face: Portrait, was: dict[str, bool], now: dict[str, bool], out: Sequence[str] = ()
) -> dict[str, bool]:
    """Whether each answer stayed, of what can be told of this face and is not left out."""
    told = {name: value for name, value in was.items() if face.truths.get(name) is not None}
    return {name: now[name] == value for name, value in told.items() if name not in out}


def _pixels(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
