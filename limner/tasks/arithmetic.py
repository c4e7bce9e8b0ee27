"""Adds to a face what it has not, and takes away what it has: arithmetic of latents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks import Progress, Watch
from limner.tasks._checks import check_whole
from limner.tasks.invert import check_steps

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["again", "arithmetic"]

MOST_PAIRS, MOST_STRENGTH = 10_000, 10.0


def arithmetic(
    picture: str | Path,
    *,
    add: str | Sequence[str] | None = None,
    remove: str | Sequence[str] | None = None,
    strength: float = 1.0,
    generator: str | None = None,
    steps: int | None = None,
    pairs: int | None = None,
    seed: int = 0,
    model: str | Path | None = None,
    watch: Watch | None = None,
) -> Picture:
    """Adds attributes to a face, or takes them away, by directions of its latent.

    An attribute's direction is the mean difference between the latents of drawn faces with it and
    the very same faces without. It is measured when it is first asked for, and kept in the user's
    cache.

    Args:
        picture: the face, a latent's file that invert saved, or, for stylegan, seed:7
        add: what to add: smile, glasses, beard, age, hair, in a list with commas
        remove: what to take away, the same
        strength: how much: 1 is the difference as it was measured
        generator: latent, vqgan, vqgan=logits, stylegan, stylegan=w or =styles, or
            diffusion_autoencoder; when not given that of the latent's file, else stylegan where
            limner's own is here, or latent
        steps: of each inversion, of the picture and of the faces measured by; see invert
        pairs: of faces to measure by; 8 for stylegan when not given, 64 for the others
        seed: of the faces to measure by
        model: the generator's model: "embedded", a folder or a hub id
        watch: called as the directions are measured, and in the end, with a Progress; raise in it
            to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.tasks._blend import stepped
    from limner.tasks._directions import direction
    from limner.tasks._latents import drawn, for_faces, points, recipe_of, space_of

    added, removed = _named(add), _named(remove)
    _check(added, removed, strength)
    check_steps(steps)
    bounds = {"pairs": (1 if pairs is None else pairs, 1, MOST_PAIRS), "seed": (seed, 0, 2**64 - 1)}
    check_whole(bounds)
    names = [str(picture)]
    space = space_of(generator, names, for_faces(), model)
    pairs = space.kind.pairs if pairs is None else pairs
    arguments = {"picture": names[0], "add": added, "remove": removed, "strength": strength}
    arguments |= {"steps": steps, "pairs": pairs, "seed": seed}
    recipe = recipe_of("arithmetic", arguments, space, names)
    found = points(space, names, steps, space.own)
    latent, total = found.latents[0], (len(added) + len(removed)) * pairs

    def report(before: int, done: int) -> None:
        if watch is not None:
            watch(Progress(before + done, total, lambda: [drawn(found.generator, latent, recipe)]))

    for i, name in enumerate([*added, *removed]):
        towards = direction(
            space,
            name,
            steps=steps,
            pairs=pairs,
            seed=seed,
            report=partial(report, i * pairs),
        )
        latent = stepped(latent, towards, strength if name in added else -strength)
    return drawn(found.generator, found.generator.constrain(latent), recipe)


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """The picture of a recipe once more; no CLIP had a part in it."""
    from limner.tasks._latents import unchanged

    said, model = recipe["arguments"], unchanged(recipe, model)
    made = arithmetic(
        said["picture"],
        add=said["add"],
        remove=said["remove"],
        strength=said["strength"],
        generator=said["generator"],
        steps=said["steps"],
        pairs=said["pairs"],
        seed=said["seed"],
        model=model,
        watch=watch,
    )
    return [made]


def _named(attributes: str | Sequence[str] | None) -> list[str]:
    """Names in a list with commas, or in several, each once. BadInput lists those there are."""
    from limner.tasks._attributes import ATTRIBUTES

    texts = [attributes] if isinstance(attributes, str) else attributes or []
    names = [name.strip().lower() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in ATTRIBUTES:
            raise BadInput(f"no attribute {name!r}: choose of {', '.join(ATTRIBUTES)}")
    return list(dict.fromkeys(names))


def _check(added: list[str], removed: list[str], strength: float) -> None:
    if not added and not removed:
        raise BadInput(
            "nothing to add and nothing to remove: name an attribute (--list shows them)"
        )
    for name in added:
        if name in removed:
            raise BadInput(f"{name} is added and removed: leave one out")
    if not 0 < strength <= MOST_STRENGTH:
        raise BadInput(f"strength {strength}: give a number above 0, up to {MOST_STRENGTH:g}")
