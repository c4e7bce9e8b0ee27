"""Parts of a picture with a phrase each: read from what a user writes, and painted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers.regions import Regions, View
from limner.errors import BadInput
from limner.models._regions import boxes_cover, laid_out
from limner.models._text_to_image import TextToImage
from limner.models.adapter import with_adapter
from limner.prompt import check, parse
from limner.tasks._paint import Course, Plan, from_noise, guided, network_of

__all__ = ["METHODS", "Region", "boxed", "boxes_of", "conditioned", "course_of", "method_of"]

METHODS = ("regions", "composed")
_MOST = 32  # regions of a picture
_SHARE = 0.6  # of a side of what is looked at for a composed part
_FINE = 256  # places along a side at which boxes are looked at for what is left of them
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*")


@dataclass(frozen=True, eq=False)
class Region:
    """What is where.

    cover:  (h, w) in [0, 1], of latent cells: how much of each is the region's
    exact:  whether it is an outline, not a box around the thing
    """

    phrase: str
    cover: Tensor
    exact: bool


def boxes_of(text: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """ "a cat: .1,.2,.5,.9; a rocket: …" → phrases with x0, y0, x1, y1, the largest first: smaller
    ones are on top. Raises BadInput."""
    found = [_box(part) for part in text.split(";") if part.strip()]
    if not 0 < len(found) <= _MOST:
        raise BadInput(
            f"{len(found)} boxes: give 1 to {_MOST}, such as "
            '--boxes "a cat: .1,.2,.5,.9; a rocket: .6,.1,.9,.6"'
        )
    found.sort(key=lambda each: -_area(each[1]))
    covers = boxes_cover(torch.tensor([box for _, box in found]), (_FINE, _FINE))
    for i, (phrase, _) in enumerate(found):
        above = covers[i + 1 :]
        if len(above) and not bool((covers[i] > above.amax(0) + 1e-6).any()):
            over = found[i + 1 + int((above * covers[i]).sum((1, 2)).argmax())]
            raise BadInput(
                f"the boxes of {phrase!r} and {over[0]!r} overlap entirely, and nothing is left of "
                f"{phrase!r}: move one, or make it larger than what lies on it"
            )
    return found


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box(part: str) -> tuple[str, tuple[float, float, float, float]]:
    phrase, colon, numbers = part.rpartition(":")
    said = numbers.split(",")
    if not colon or len(said) != 4 or not all(map(_NUMBER.fullmatch, said)):
        raise BadInput(
            f"the box {part.strip()!r}: give words, a colon, and x0,y0,x1,y1 in shares of the "
            'picture, such as "a cat: .1,.2,.5,.9"'
        )
    phrase = phrase.strip()
    if not phrase:
        raise BadInput(
            f"the box {part.strip()!r} has no words: say what is in it, before the colon"
        )
    x0, y0, x1, y1 = (float(each) for each in said)
    if not all(0 <= each <= 1 for each in (x0, y0, x1, y1)):
        raise BadInput(f"the box of {phrase!r} is {x0:g},{y0:g},{x1:g},{y1:g}: give shares, 0 to 1")
    if not (x0 < x1 and y0 < y1):
        raise BadInput(
            f"the box of {phrase!r} is empty ({x0:g},{y0:g},{x1:g},{y1:g}): give left, top, right, "
            "bottom"
        )
    return check(phrase, "box"), (x0, y0, x1, y1)


def conditioned(model: TextToImage, method: str | None, adapter: str | None) -> TextToImage:
    """The model with what the method needs: an adapter for regions, or none. Raises BadInput."""
    if method not in (None, *METHODS):
        raise BadInput(f"no method {method!r}: choose one of {', '.join(METHODS)}")
    if method == "composed":
        if adapter not in (None, "none"):
            raise BadInput(f"composed takes no adapter: leave out {adapter!r}, or the method")
        return model
    found = with_adapter(model, "regions", adapter)
    if method == "regions" and found.conditioned != "regions":
        raise BadInput(
            f"the model {model.name!r} knows no regions: give an adapter for it (limner train "
            "regions makes one), or --method composed"
        )
    return found


def course_of(model: TextToImage, plan: Plan, regions: Sequence[Region]) -> Course:
    """From noise to a picture with these regions, the later ones on top: by the model's own
    conditioning where it was trained for them, else composed of what the prompts say of parts."""
    if method_of(model) == "regions":
        return from_noise(model, plan, guided(model, plan, _shown(model, regions), blank=True))
    return from_noise(model, plan, _composed(model, plan, regions))


def _shown(model: TextToImage, regions: Sequence[Region]) -> Tensor:
    """(1, e, h, w), what the U-Net sees below x."""
    assert model.adapter is not None  # `conditioned` says so
    try:
        projection = [model.adapter.extra[f"phrase.{part}"] for part in ("weight", "bias")]
        cover = torch.stack([each.cover for each in regions])[None]
        exact = torch.tensor([[float(each.exact) for each in regions]])
        phrases = model.embed_phrases([each.phrase for each in regions]).float().cpu()[None]
        shown = laid_out(cover, phrases, exact, projection)
    except (KeyError, RuntimeError):
        shown = torch.empty(0, 0)
    if shown.ndim != 4 or shown.shape[1] != model.beside:
        raise BadInput(f"the adapter of {model.name!r} has no projection that fits: train it anew")
    return shown.to(model.device)


def _composed(model: TextToImage, plan: Plan, regions: Sequence[Region]) -> Denoiser:
    """Training-free, see `limner.denoisers.regions`."""
    if model.beside:
        guided(model, plan)  # says what it was trained for
    phrases = parse(plan.prompt)
    if len(phrases) > 1 or plan.guidance_interval != (0.0, 1.0) or plan.guidance_rescale:
        raise BadInput(
            "composed takes a prompt of one part, and no guidance interval or rescale: drop them"
        )
    texts = [plan.negative, phrases[0].text, *(each.phrase for each in regions)]
    without, whole, *parts = model.encode_text(texts).split(1)
    covers = torch.stack([each.cover for each in regions])
    free = torch.flip(torch.cumprod(torch.flip(1 - covers, [0]), 0), [0])
    masks = covers * torch.cat([free[1:], torch.ones_like(free[:1])])
    network, scale = network_of(model, plan.guidance_scale)
    scale *= phrases[0].weight
    least = model.size // model.downscale // 2
    views = [_view(mask, least) for mask in masks]
    return Regions(network, whole, parts, masks.to(model.device), without, scale, views)


def _view(mask: Tensor, least: int) -> View:
    """The latents to look at for a part, of which (h, w) it takes about 60% of a side, as a thing
    alone in a picture does: at least so many a side, and a multiple of half of them."""
    spans = []
    for axis in (1, 0):
        inside = (mask > 0).any(axis).nonzero().flatten()
        first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 1)
        spans.append((first, last, mask.shape[1 - axis]))
    side = max(last - first for first, last, _ in spans) / _SHARE
    step = max(1, least // 2)
    side = max(least, math.ceil(side / step) * step)
    view = []
    for first, last, size in spans:
        length = min(int(side), size)
        begin = min(max(round((first + last - length) / 2), 0), size - length)
        view.append(slice(begin, begin + length))
    return view[0], view[1]


def boxed(
    boxes: Sequence[tuple[str, tuple[float, float, float, float]]], size: tuple[int, int]
) -> list[Region]:
    """Boxes as regions of latents of this size, (h, w)."""
    covers = boxes_cover(torch.tensor([box for _, box in boxes]), size)
    return [Region(phrase, cover, False) for (phrase, _), cover in zip(boxes, covers)]


def method_of(model: TextToImage) -> str:
    """Which of METHODS `course_of` follows. Recipes say it; an adapter is in the model's name."""
    return METHODS[0] if model.conditioned == "regions" else METHODS[1]
