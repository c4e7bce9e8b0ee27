"""Changes what the words say in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.prompt import check
from limner.tasks import Progress, Watch
from limner.tasks._checks import (
    check_strength,
    check_unchanged,
    check_whole,
    clip_names,
    file_hash,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from limner.picture import Picture
    from limner.tasks._editing import Model, Order, Usual

__all__ = ["Edited", "again", "edit"]

MOST_STEPS, MOST_VIEWS = 10_000, 1024


@dataclass(frozen=True, eq=False)
class Edited:
    """`layer`, uint8 (h, w, 4), colour and opacity, laid over the picture that was given is
    `picture`, bit for bit (`laid_over` in `_editing.py` says in which numbers)."""

    picture: Picture
    layer: np.ndarray

    def save_layer(self, path: Path) -> Path:
        """Writes the layer as an RGBA PNG, marked as a model's work."""
        import io

        from PIL import Image, PngImagePlugin

        from limner.picture import MADE_BY_MODEL, save_bytes

        out, info = io.BytesIO(), PngImagePlugin.PngInfo()
        info.add_itxt("digitalSourceType", MADE_BY_MODEL)
        Image.fromarray(self.layer).save(out, "PNG", pnginfo=info)
        return save_bytes(path, out.getvalue())


def edit(
    picture: str | Path,
    text: str,
    *,
    method: str = "layer",
    mask: str | Path | None = None,
    strength: float | None = None,
    source: str | None = None,
    threshold: float | None = None,
    steps: int | None = None,
    views: int | None = None,
    seed: int = 0,
    clip: str | None = None,
    model: str | Path | None = None,
    watch: Watch | None = None,
) -> Edited:
    """Changes a picture as a text says; where a mask is black no bit of it changes.

    The same arguments give the same bytes on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to edit
        text: what is to be seen, such as "a golden cat"
        method: layer paints a layer over what the text is about (Text2LIVE); vqgan and latent
            search from the picture's own code or latent (VQGAN-CLIP); sdedit adds noise and paints
            it away (SDEdit); stylegan, mapper and direction move a StyleGAN2's styles by search,
            by a network trained for the text, or along what CLIP knows of each (StyleCLIP)
        mask: a picture of the same size, white where it may be edited
        strength: above 0, up to 1, how much may change; the method's usual when not given
        source: what the text's subject looks like now, such as "a cat", for layer and direction;
            found from the text when not given
        threshold: how much a style must have to do with the text to be moved, 0 to 1, for
            direction; about the square root of their number are moved when not given
        steps: steps that run; the method's usual number when not given
        views: random views that each CLIP judges in each step
        seed: of all that is drawn at random
        clip: the CLIPs that are followed: names of limner's own, folders or hub ids, with commas
        model: the VQGAN of vqgan, the text-to-image model of latent and sdedit, the StyleGAN2 of
            stylegan, the mapper of mapper, the directions or the StyleGAN2 of direction:
            "embedded", a folder or a hub id
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, a picture or a model is not usable.
    """
    from limner.models.clip import open_clip
    from limner.picture import from_uint8, load
    from limner.tasks._editing import Order, finished, laid_over, way
    from limner.tasks._masks import mask_of

    chosen = way(method)
    usual = chosen.USUAL
    given = {"source": source, "threshold": threshold, "views": views, "clip": clip, "model": model}
    _check_used(method, usual, **given)
    _check_numbers(strength, threshold, steps, views, seed)
    check(text, "text")
    bottom = load(picture).uint8()
    pixels = from_uint8(bottom).pixels[None]
    opened = None
    if usual.opens is not None:
        opened = usual.opens("embedded" if model is None else model)
    order = Order(
        picture=pixels,
        mask=None if mask is None else mask_of(mask, pixels),
        text=text,
        source=_source(source, text),
        strength=usual.strength if strength is None else strength,
        steps=steps or usual.steps,
        views=views or usual.views,
        seed=seed,
        clips=[open_clip(name) for name in _clips(clip, usual, opened)] if usual.has_clips else [],
        model=opened,
        threshold=threshold,
    )
    recipe = _recipe(order, method, str(picture), None if mask is None else str(mask))

    def made(layer: Tensor) -> Edited:
        top = finished(layer, order)
        return Edited(from_uint8(laid_over(top, bottom), recipe=recipe), top)

    def report(step: int, preview: Callable[[], Tensor]) -> None:
        if watch is not None:
            total = order.steps * usual.rounds
            watch(Progress(step, total, lambda: [made(preview()).picture]))

    return made(chosen.edit(order, report))


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """The picture of a recipe once more."""
    said = recipe["arguments"]
    check_unchanged(recipe, model=model, clip=clip)
    edited = edit(
        said["picture"],
        said["text"],
        method=said["method"],
        mask=said["mask"],
        strength=said["strength"],
        source=said["source"],
        threshold=said.get("threshold"),
        steps=said["steps"],
        views=said["views"],
        seed=said["seed"],
        clip=",".join(said["clip"]) or None if clip is None else clip,
        model=said["model"] if model is None else model,
        watch=watch,
    )
    return [edited.picture]


def _check_used(method: str, usual: Usual, **given: object) -> None:
    """BadInput for what the method has no use for."""
    used = {
        "source": usual.has_source,
        "threshold": usual.has_threshold,
        "views": usual.has_clips and usual.views > 0,
        "clip": usual.has_clips,
        "model": usual.opens is not None,
    }
    for name, value in given.items():
        if value is not None and not used[name]:
            raise BadInput(f"the method {method} takes no {name}: leave it out")


def _clips(clip: str | None, usual: Usual, opened: Model | None) -> tuple[str, ...]:
    """Those that are named, or else the method's."""
    if clip is None and usual.clips is not None and opened is not None:
        return tuple(usual.clips(opened))
    return clip_names(clip)


def _check_numbers(
    strength: float | None,
    threshold: float | None,
    steps: int | None,
    views: int | None,
    seed: int,
) -> None:
    if strength is not None:
        check_strength(strength)
    if threshold is not None and not 0 <= threshold <= 1:
        raise BadInput(f"threshold {threshold}: give a number from 0 to 1")
    check_whole(
        {
            "steps": (1 if steps is None else steps, 1, MOST_STEPS),
            "views": (1 if views is None else views, 1, MOST_VIEWS),
            "seed": (seed, 0, 2**64 - 1),
        }
    )


def _source(source: str | None, text: str) -> str | None:
    if source is not None and check(source, "source") == text:
        raise BadInput(f"source and text are both {text!r}: say what is to change")
    return source


def _recipe(order: Order, method: str, picture: str, mask: str | None) -> dict[str, Any]:
    from limner.tasks._editing import way
    from limner.tasks._recipe import recipe_of, told

    arguments = {
        "picture": picture,
        "text": order.text,
        "method": method,
        "mask": mask,
        "strength": order.strength,
        "source": order.source,
        "threshold": order.threshold,
        "steps": order.steps,
        "views": (order.views or None) if order.clips else None,
        "seed": order.seed,
        "clip": [clip.name for clip in order.clips],
        "model": None if order.model is None else order.model.name,
    }
    files = {name: file_hash(name) for name in (picture, mask) if name is not None}
    looking = [*order.clips, *([order.patched] if way(method).USUAL.has_source else [])]
    own = {"clips": [told(clip) for clip in dict.fromkeys(looking)], "files": files}
    return recipe_of("edit", arguments, order.model) | own | {"batch": [0, 1], "sample": 0}
