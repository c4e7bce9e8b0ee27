"""Latents made of two: between them, or layers of one and layers of the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Latent

__all__ = ["GROUPS", "between", "chosen", "crossed", "spherical", "stepped"]

_STRAIGHT = 1 - 1e-9  # a cosine from which the arc is a line, within float32

# Karras et al. 2019, section 3.1: pixels of the layers' maps, from and to.
GROUPS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}


def between(a: Latent, b: Latent, t: float, round: Collection[str]) -> Latent:
    """The latent at t, from 0 (a) to 1 (b), and exactly these at the ends: on a line, parts that
    are `round` on a sphere."""
    return {
        name: spherical(part, b[name], t) if name in round else part.lerp(b[name], t)
        for name, part in a.items()
    }


def spherical(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Rows (n, …) at t on the arc from a to b (Shoemake 1985, "Animating rotation with quaternion
    curves"; for latents White 2016, "Sampling generative networks").

    Normal noise of many dimensions lies about a sphere, which a line between two points leaves. A
    row without an arc (the two are zero, parallel or opposite) takes the line.
    """
    x, y = a.double().flatten(1), b.double().flatten(1)
    cosine = functional.cosine_similarity(x, y)[:, None]
    angle = cosine.clamp(-_STRAIGHT, _STRAIGHT).arccos()
    arc = (((1 - t) * angle).sin() * x + (t * angle).sin() * y) / angle.sin()
    lengths = x.norm(dim=1, keepdim=True) * y.norm(dim=1, keepdim=True)
    curved = (cosine.abs() < _STRAIGHT) & (lengths > 0)
    return arc.where(curved, x.lerp(y, t)).view_as(a).to(a)


def crossed(a: Latent, b: Latent, layers: Sequence[int]) -> Latent:
    """a with these rows of b's w+ (1, layers, d)."""
    w_plus = a["w+"].clone()
    w_plus[:, layers] = b["w+"][:, layers]
    return a | {"w+": w_plus}


def stepped(latent: Latent, direction: Latent, length: float) -> Latent:
    """latent + length · direction."""
    return {name: part + length * direction[name] for name, part in latent.items()}


def chosen(text: str, sides: Sequence[int]) -> list[int]:
    """ "4-9", "0,2,5-7", "coarse,middle" → numbers of layers, in order. Raises BadInput.

    sides:  of every layer's map, pixels
    """
    found: set[int] = set()
    for each in text.lower().replace(" ", "").split(","):
        numbers = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", each)
        if each in GROUPS:
            low, high = GROUPS[each]
            some = [i for i, side in enumerate(sides) if low <= side <= high]
            if not some:
                raise BadInput(
                    f"no {each} layers: the model paints {max(sides)} pixels, and {each} "
                    f"layers are of {low} to {high}"
                )
        elif numbers:
            first, last = int(numbers[1]), int(numbers[2] or numbers[1])
            if not first <= last < len(sides):
                raise BadInput(f"layers {each!r}: the model has 0-{len(sides) - 1}")
            some = list(range(first, last + 1))
        else:
            known = ", ".join(GROUPS)
            raise BadInput(f"layers {text!r}: give numbers, such as 4-9, or some of {known}")
        found.update(some)
    return sorted(found)
