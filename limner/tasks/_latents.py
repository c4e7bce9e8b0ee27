"""What is given as a latent — a picture, a file, a seed — and what comes of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput, LimnerError
from limner.generators import Generator, Latent
from limner.models.embedded import folder
from limner.noise import Noise
from limner.picture import Picture, load
from limner.tasks import _recipe
from limner.tasks._checks import check_unchanged, file_hash
from limner.tasks._latent_file import SUFFIX, load_latent
from limner.tasks._spaces import KINDS, LARGEST, Size, Space, fitted

__all__ = ["Points", "drawn", "for_faces", "points", "recipe_of", "space_of", "unchanged"]

_SEED = re.compile(r"seed:(\d{1,20})")


def space_of(
    generator: str | None, names: Sequence[str], usual: str, model: str | Path | None
) -> Space:
    """The generator that is named; else that of the first latent file among `names`; else stylegan
    where one of them is a seed; else the usual one. Raises BadInput."""
    files = [name for name in names if name.endswith(SUFFIX)]
    if generator is None and files:
        generator = load_latent(files[0]).generator
    elif generator is None and any(_SEED.fullmatch(name) for name in names):
        generator = "stylegan"
    name = usual if generator is None else generator
    if name not in KINDS:
        raise BadInput(f"no latents of a generator {name!r}: choose one of {', '.join(KINDS)}")
    kind = KINDS[name]
    return Space(name, kind, kind.opens("embedded" if model is None else model))


def for_faces() -> str:
    """The generator that faces are moved in: stylegan where limner's own is here, else latent."""
    try:
        folder("stylegan")
    except BadInput:
        return "latent"
    return "stylegan"


@dataclass(frozen=True, eq=False)
class Points:
    """Latents of one size, one row each, and the generator that draws them."""

    generator: Generator
    size: Size
    latents: list[Latent]


def points(
    space: Space,
    names: Sequence[str],
    steps: int | None,
    size: Size | None = None,
) -> Points:
    """The latents of pictures, which are inverted, latent files and seeds ("seed:7").

    size:  of the pictures; when not given the first file's or seed's, else the first picture's

    Raises BadInput for what is not usable, before anything is inverted.
    """
    sources = [_source(space, name) for name in names]
    given = [each[1] for each in sources if isinstance(each, tuple)]
    fits = [space.fitting(each) for each in sources if isinstance(each, Tensor)]
    size = size or [*given, *fits][0]
    for name, (_, own) in [(n, s) for n, s in zip(names, sources) if isinstance(s, tuple)]:
        if own != size:
            raise BadInput(
                f"the latent {name!r} is of {own[0]}x{own[1]} pixels, {size[0]}x{size[1]} are "
                "wanted: invert its picture at that size"
            )
    latents = []
    for source in sources:
        if isinstance(source, Tensor):
            latents.append(space.inverted(fitted(source, size), steps))
        else:
            latents.append(source[0])
    return Points(space.at(size), size, latents)


def _source(space: Space, name: str) -> Tensor | tuple[Latent, Size]:
    """A picture (3, h, w); or a latent and its picture's size."""
    seed = _SEED.fullmatch(name)
    if seed and not space.kind.seeds:
        raise BadInput(f"{name!r} is for stylegan: give a picture or a latent's file")
    if seed:
        return space.at(space.own).start(Noise(int(seed[1]), [0])), space.own
    return _kept(space, name) if name.endswith(SUFFIX) else load(name).pixels


def _kept(space: Space, name: str) -> tuple[Latent, Size]:
    kept = load_latent(name)
    if kept.generator != space.name:
        raise BadInput(
            f"the latent {name!r} is of the generator {kept.generator}, not of {space.name}: both "
            "must be of one (--generator)"
        )
    if kept.fingerprint != space.model.fingerprint:
        raise BadInput(
            f"the latent {name!r} is of another model than {space.model.name!r}: give its own "
            "(--model)"
        )
    if not all(1 <= side <= LARGEST for side in kept.size):
        raise BadInput(f"the latent {name!r} is of {kept.size} pixels: up to {LARGEST} can be")
    own = space.at(kept.size).start(Noise(0, [0]))
    if {n: part.shape for n, part in own.items()} != {n: p.shape for n, p in kept.latent.items()}:
        raise BadInput(f"the latent {name!r} has other parts than {space.name}'s: it was changed")
    return kept.latent, kept.size


def recipe_of(
    task: str, arguments: dict[str, Any], space: Space, names: Sequence[str]
) -> dict[str, Any]:
    """What a picture made from these pictures, files and seeds remembers."""
    arguments = arguments | {"generator": space.name, "model": space.model.name}
    files = {name: file_hash(name) for name in names if not _SEED.fullmatch(name)}
    shared = _recipe.recipe_of(task, arguments, space.model)
    return shared | {"clips": [], "files": files, "batch": [0, 1], "sample": 0}


def unchanged(recipe: dict[str, Any], model: str | Path | None) -> str | Path:
    """The model to make a recipe's picture again with. BadInput where a file is not as it was, or
    the model would come from elsewhere."""
    check_unchanged(recipe, model=model, clip=None)
    own: str = recipe["arguments"]["model"]
    return own if model is None else model


@torch.no_grad()
def drawn(generator: Generator, latent: Latent, recipe: dict[str, Any]) -> Picture:
    """A latent's picture, one row. Raises LimnerError for values that are no numbers."""
    pixels = generator.render(latent)[0].float().cpu()
    if not bool(pixels.isfinite().all()):
        raise LimnerError("the picture has values that are no numbers: the model is damaged")
    return Picture(pixels, recipe)
