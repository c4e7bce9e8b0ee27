"""What the networks that look at faces get right, on faces that they were not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limner.measures import Watch, batches
from limner.measures._share import Share, checked, share
from limner.models.faces import Attributes, Identity, open_attributes, open_identity
from limner.worlds._faces_people import person
from limner.worlds._faces_truths import truths
from limner.worlds.faces import STYLES, World

__all__ = ["Faces", "faces", "verified"]

_AT_ONCE = 32


@dataclass(frozen=True)
class Faces:
    """attributes: by name, the share of right answers, of faces of which it can be told.

    domains: plain or in which style, each as often as the others; None where it was not taught
    same: pairs of pictures told rightly to show one person or two, as many of these as of those
    threshold: of the cosine, chosen on other people than those who are counted
    alike, apart: mean cosines of one person's pictures, and of two people's
    """

    attributes: dict[str, Share]
    domains: Share | None
    same: Share
    threshold: float
    alike: float
    apart: float

    def told(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "attributes": {name: each.told() for name, each in self.attributes.items()},
            "domains": self.domains and self.domains.told(),
            "same": self.same.told(),
            "threshold": self.threshold,
            "alike": self.alike,
            "apart": self.apart,
        }


@torch.no_grad()
def faces(
    identity: str | Path | Identity = "embedded",
    attributes: str | Path | Attributes = "embedded",
    *,
    count: int = 1000,
    aligned: bool = True,
    seed: int = 1,
    watch: Watch | None = None,
) -> Faces:
    """Asks both networks about held-out faces of the world.

    Args:
        identity: "embedded", a folder of `limner train identity`, or what open_identity gave
        attributes: "embedded", a folder of `limner train attributes`, or what open_attributes gave
        count: faces for each question; half as many people, seen twice
        aligned: show faces cut out, eyes level, as the embedded networks have learned them
        seed: of the world; training's is 0
        watch: called with the pictures done and their number
    """
    checked("count", count, 8, 1_000_000)
    known = identity if isinstance(identity, Identity) else open_identity(identity)
    asked = attributes if isinstance(attributes, Attributes) else open_attributes(attributes)
    done, total = 0, count * (3 if asked.domain_names else 2)

    def passed(some: Sequence[int]) -> None:
        nonlocal done
        done += len(some)
        if watch is not None:
            watch(min(done, total), total)

    world = World(seed, split="held_out", aligned=aligned)
    shares = _attributes(asked, world, count, passed)
    domains = _domains(asked, world, count, passed) if asked.domain_names else None
    people = list(_people(known, world, count, passed))
    first, second = torch.cat(people).unflatten(0, (-1, 2)).unbind(1)
    same, threshold = verified(first, second)
    alike, others = ((first * each).sum(1).mean() for each in (second, second.roll(-1, 0)))
    return Faces(shares, domains, same, threshold, float(alike), float(others))


def _attributes(asked: Attributes, world: World, count: int, passed: Any) -> dict[str, Share]:
    right: dict[str, list[bool]] = {name: [] for name in asked.names}
    for some in batches(0, count, _AT_ONCE):
        drawn = world.draw(some)
        said = asked.probabilities(_pictures(drawn.pictures)) > 0.5
        for face, row in zip(drawn.faces, said.tolist(), strict=True):
            true = truths(face)
            for name, answer in zip(asked.names, row, strict=True):
                if true.get(name) is not None:
                    right[name].append(answer == true[name])
        passed(some)
    return {name: share(answers) for name, answers in right.items()}


def _domains(asked: Attributes, plain: World, count: int, passed: Any) -> Share:
    """Each style as often as none."""
    share_of_styles = len(STYLES) / (1 + len(STYLES))
    world = World(plain.seed, split=plain.split, styled=share_of_styles, aligned=plain.aligned)
    right: list[bool] = []
    for some in batches(0, count, _AT_ONCE):
        drawn = world.draw(some)
        said = asked.domains(_pictures(drawn.pictures)).argmax(1).tolist()
        wanted = [style or "none" for style in drawn.styles]
        right += [asked.domain_names[i] == w for i, w in zip(said, wanted, strict=True)]
        passed(some)
    return share(right)


def _people(known: Identity, world: World, count: int, passed: Any) -> Iterator[Tensor]:
    """Embeddings (n, d): two of each person, one behind the other."""
    for some in batches(0, count // 2 * 2, _AT_ONCE):
        drawn = [world.portrait(person(world, *divmod(index, 2)))[0] for index in some]
        yield known.embed(_pictures(np.stack(drawn)))
        passed(some)


def verified(first: Tensor, second: Tensor) -> tuple[Share, float]:
    """Whether two pictures show one person, told by the cosine alone: first and second (n, d) of
    length 1, rows of the same person. Two people are a row and the next one's second picture.

    The threshold that is best for the first half of the people is applied to the other half, as on
    Labeled Faces in the Wild (Huang et al. 2007). Raises ValueError for fewer than 4 people.
    """
    half = len(first) // 2
    if half < 2:
        raise ValueError(f"{len(first)} people: expected at least 4")
    (chosen, truth), (cosines, answers) = (
        (
            torch.cat([(first[rows] * second[rows]).sum(1), _with_others(first, second, rows)]),
            torch.arange(2 * len(first[rows])) < len(first[rows]),
        )
        for rows in (slice(half), slice(half, None))
    )
    levels = chosen.sort().values
    between = torch.cat([levels[:1] - 1, (levels[1:] + levels[:-1]) / 2])
    rates = ((chosen[None] > between[:, None]) == truth.to(chosen.device)).float().mean(1)
    threshold = float(between[rates.argmax()])
    return share(((cosines > threshold).cpu() == answers).tolist()), threshold


def _with_others(first: Tensor, second: Tensor, rows: slice) -> Tensor:
    return (first[rows] * second[rows].roll(-1, 0)).sum(1)


def _pictures(drawn: np.ndarray) -> Tensor:
    return torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255
