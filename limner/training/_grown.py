"""A StyleGAN2 for twice the side, begun with what one for the side has learned.

Progressive growing (Karras et al. 2018), which StyleGAN2's skips to RGB make exact for the
generator: its first pictures are the smaller one's, enlarged.
"""

from __future__ import annotations

import torch
from torch import nn

from limner.errors import BadInput
from limner.nets.stylegan import Discriminator, Generator, Shape

__all__ = ["grown"]


def grown(
    networks: tuple[Generator, Discriminator | None], painter: Shape, judge: Shape
) -> tuple[Generator, Discriminator]:
    """Generator and discriminator of these shapes, with one more side than the given ones.

    The discriminator's new layers, which see the picture first, know nothing yet; one that is not
    there begins anew. Raises BadInput where the other layers are not the same.
    """
    small, small_judge = networks
    if _without_last(painter) != small.shape:
        raise BadInput(f"a model of {small.shape} does not grow into {painter}: give its capacity")
    generator = Generator(painter)
    generator.load_state_dict(generator.state_dict() | small.state_dict())
    colours = generator.synthesis.blocks()[-1].torgb
    nn.init.zeros_(colours.weight)
    discriminator = Discriminator(judge)
    if small_judge is not None and _without_last(judge) == small_judge.shape:
        discriminator.load_state_dict(discriminator.state_dict() | _moved(small_judge))
    return generator, discriminator


def _without_last(shape: Shape) -> Shape:
    return Shape(shape.channels[:-1], shape.width, shape.mapping_layers)


def _moved(judge: Discriminator) -> dict[str, torch.Tensor]:
    """Its weights under the names that they have in the larger one: all halves one further on."""
    moved = {}
    for name, weight in judge.state_dict().items():
        first, _, rest = name.partition(".")
        if first == "halves":
            number, _, rest = rest.partition(".")
            moved[f"halves.{int(number) + 1}.{rest}"] = weight
        elif first != "colours":  # these see the picture
            moved[name] = weight
    return moved
