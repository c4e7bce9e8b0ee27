"""One picture with some layers' styles of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks import Watch
from limner.tasks.invert import check_steps

if TYPE_CHECKING:
    from limner.picture import Picture

__all__ = ["again", "mix"]


def mix(
    a: str | Path,
    b: str | Path,
    *,
    layers: str = "fine",
    generator: str = "stylegan",
    steps: int | None = None,
    model: str | Path | None = None,
) -> Picture:
    """Paints the first picture with the styles of some layers from the second.

    Style mixing of Karras et al. 2019, section 3.1: coarse layers hold pose, shape and hair, middle
    ones features, eyes and mouth, fine ones colours and texture.

    Args:
        a: the picture to start from, a latent's file that invert saved, or seed:7
        b: where the layers come from, the same
        layers: numbers, such as 4-9 or 0,2,5-7, or names: coarse (4 to 8 pixels), middle (16 to
            32) and fine (64 and more)
        generator: stylegan, the only one that has layers
        steps: of each inversion; see invert
        model: the generator's model: "embedded" or a folder

    Raises BadInput when an argument, a picture, a file or the model is not usable.
    """
    from limner.models.stylegan import StyleGAN
    from limner.tasks._blend import chosen, crossed
    from limner.tasks._latents import drawn, points, recipe_of, space_of

    check_steps(steps)
    if generator != "stylegan":
        raise BadInput(
            f"mix goes by layers, which {generator} has not: only the generator stylegan can"
        )
    names = [str(a), str(b)]
    space = space_of(generator, names, generator, model)
    assert isinstance(space.model, StyleGAN)  # what stylegan opens
    shape = space.model.network.shape
    numbers = chosen(layers, [*shape.sides, shape.size])  # the last layer is of the last colours
    arguments = {"a": names[0], "b": names[1], "layers": layers, "steps": steps}
    recipe = recipe_of("mix", arguments, space, names)
    found = points(space, names, steps)
    first, second = found.latents
    return drawn(found.generator, crossed(first, second, numbers), recipe)


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
    made = mix(
        said["a"],
        said["b"],
        layers=said["layers"],
        generator=said["generator"],
        steps=said["steps"],
        model=model,
    )
    return [made]
