"""A picture changed by the difference of two texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.prompt import check
from limner.tasks._checks import check_files, file_hash

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models._text_to_image import TextToImage
    from limner.models.clip import Clip
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "textdiff"]

_SAME = 1e-4  # a length under which two texts' embeddings do not differ


def textdiff(
    picture: str | Path,
    before: str,
    after: str,
    *,
    amount: float = 0.5,
    words: bool = False,
    negative: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    sampler: str = "ddim",
    model: str | Path | TextToImage = "embedded",
    decoder: str | None = None,
    precision: str = "auto",
    compile: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Changes a picture by what one text says and another does not; its layout stays.

    CLIP's embedding of the picture is turned towards the difference of the texts', and painted from
    the picture's own noise. The same arguments give the same picture on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to begin with
        before: what it shows: "a cat on the grass"
        after: what it is to show: "a dog on the grass"
        amount: above 0, up to 1: the share of the way from the picture to the difference; .25 to
            .5 is usual
        words: tell the decoder what it is to show in words, too
        negative: what to keep away from
        steps: steps of the sampler, and of the inversion; the model's own number when not given
        guidance_scale: how strongly it pulls; the decoder's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        decoder: folder of a decoder (limner train decoder); limner's own where it fits the model,
            when not given
        precision: auto, float32 or bfloat16
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.models._open import placed
    from limner.tasks._blend import spherical
    from limner.tasks._parts import Parts
    from limner.tasks._planned import planned
    from limner.tasks._unclip import Way, inverted, open_decoder, painted, seen_by

    if not 0 < amount <= 1:
        raise BadInput(f"amount {amount}: give a number above 0, up to 1")
    check(before, "text before")
    check(after, "text after")
    digest = file_hash(str(picture))
    paints = open_decoder(model, decoder)
    turn = difference(paints.clip, before, after)
    _, plan = planned(
        after if words else "",
        negative=negative,
        seed=0,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=paints.model,
        wordless=True,
    )
    paints = replace(paints, model=placed(paints.model, precision, compile))
    seen = seen_by(paints, picture)
    plan, parts = replace(plan, size=seen.size), Parts(watch, 2 * plan.steps)
    turned = spherical(seen.embedding, turn.to(seen.embedding), amount)
    own = inverted(paints, plan, seen.x0, seen.embedding, parts.next(plan.steps))
    run = {"picture": str(picture), "before": before, "after": after, "amount": amount}
    run |= {"words": words, "count": 1, "first": 0, "compile": compile}
    way = Way(lambda _: turned, own, finish=seen.back)
    files = {str(picture): digest}
    return painted(paints, plan, way, [0], run, parts, task="textdiff", files=files)


def difference(clip: Clip, before: str, after: str) -> Tensor:
    """z_d = norm(z_after − z_before) (Ramesh et al. 2022, section 3.3), (1, e). BadInput where the
    CLIP knows no difference."""
    first, last = clip.embed_texts([before, after]).split(1)
    length = float((last - first).norm())
    if length < _SAME:
        raise BadInput(f"{before!r} and {after!r} are the same to {clip.name!r}: say what differs")
    return (last - first) / length


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """A recipe's picture once more."""
    from limner.tasks._planned import told_again

    said, shared = recipe["arguments"], told_again(recipe, samples, model)
    check_files(recipe)
    for name in ("prompt", "count", "seed", "first"):
        del shared[name]
    return textdiff(
        said["picture"],
        said["before"],
        said["after"],
        amount=said["amount"],
        words=said["words"],
        watch=watch,
        **shared,
    )
