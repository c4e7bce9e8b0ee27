"""Attributes as directions of a latent, measured from the world of faces, which knows them exactly.

Each face is painted twice, with the attribute and without, and nothing else differs: so the mean of
the latents' differences is the attribute's alone. (Means over people with it and other people
without, all that photographs allow, carry along what goes with it: age with glasses.) What was
measured is kept in the user's cache, under a name that the world, its seed and the model decide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

import limner
from limner.errors import BadInput
from limner.generators import Latent
from limner.models._folder import cache_folder
from limner.noise import Noise
from limner.picture import resize, save_bytes
from limner.tasks._attributes import ATTRIBUTES
from limner.tasks._spaces import Space
from limner.worlds.faces import World

__all__ = ["direction", "mean_difference"]

_AT_ONCE = 4  # pairs in one inversion


def mean_difference(
    invert: Callable[[Tensor], Latent], batches: Iterable[tuple[Tensor, Tensor]]
) -> Latent:
    """The mean over all rows of latent(with) − latent(without): one row.

    batches:  pictures (b, 3, h, w) without and with
    """
    total: dict[str, Tensor] = {}
    count = 0
    for without, given in batches:
        found = invert(torch.cat([without, given]))
        count += len(without)
        for name, part in found.items():
            before, after = part.double().chunk(2)
            total[name] = total.get(name, 0) + (after - before).sum(0, keepdim=True)
    return {name: (part / count).float() for name, part in total.items()}


def direction(
    space: Space,
    attribute: str,
    *,
    steps: int | None = None,
    pairs: int,
    seed: int,
    report: Callable[[int], None],
) -> Latent:
    """An attribute's direction, one row: from the cache, or measured by so many pairs of faces.

    steps:   of the inversions; None: the usual
    report:  called with the pairs that are done
    """

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for i in range(0, pairs, _AT_ONCE):
            yield _pairs(space, attribute, range(i, min(i + _AT_ONCE, pairs)), seed)
            report(min(i + _AT_ONCE, pairs))

    still = space.kind.still
    steps = 0 if still else space.kind.steps if steps is None else steps
    kept = _place(space, attribute, steps, pairs, seed)
    own = space.at(space.own).start(Noise(0, [0]))
    found = _read(kept)
    if {n: part.shape for n, part in found.items()} != {n: part.shape for n, part in own.items()}:
        found = mean_difference(lambda pictures: space.inverted(pictures, steps), batches())
        found = {n: torch.zeros_like(p) if n in still else p for n, p in found.items()}
        with suppress(OSError, BadInput):  # a cache that cannot be written costs time, nothing else
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_bytes(kept, to_bytes(found))
    report(pairs)
    return found


def _pairs(space: Space, attribute: str, some: range, seed: int) -> tuple[Tensor, Tensor]:
    """Aligned faces of these numbers, without the attribute and with it: (b, 3, h, w) each."""
    world = World(seed, aligned=1)
    faces = [ATTRIBUTES[attribute].pair(world.face(i)) for i in some]
    without, given = (np.stack([world.portrait(face)[0] for face in side]) for side in zip(*faces))
    width, height = space.own
    pixels = torch.from_numpy(np.concatenate([without, given])).permute(0, 3, 1, 2) / 255
    first, second = resize(pixels, (height, width)).chunk(2)
    return first, second


def _place(space: Space, attribute: str, steps: int, pairs: int, seed: int) -> Path:
    """In the cache; whatever decides the direction decides the name."""
    told = [limner.__version__, space.name, space.model.fingerprint, attribute, steps, pairs, seed]
    key = hashlib.sha256(json.dumps(told).encode())
    for side in _pairs(space, attribute, range(1), seed):  # another world paints other faces
        key.update(side.numpy().tobytes())
    return cache_folder() / "directions" / f"{key.hexdigest()}.safetensors"


def _read(path: Path) -> Latent:
    """What the cache holds there; nothing where that is not there or broken."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return {}
