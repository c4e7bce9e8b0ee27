"""Other pictures of what a picture shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import check_files, check_run, file_hash

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "vary"]


def vary(
    picture: str | Path,
    prompt: str = "",
    *,
    keep: float = 0.0,
    negative: str | None = None,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    sampler: str | None = None,
    model: str | Path | TextToImage = "embedded",
    decoder: str | None = None,
    precision: str = "auto",
    compile: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints variations of a picture: what CLIP sees in it stays, the rest is new.

    The same arguments give the same pictures on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to vary
        prompt: words that the decoder is told, too; none are needed
        keep: 0 to 1, the share of the picture's own noise, which has its layout: at 0 only what
            CLIP sees is left, at 1 nearly all of the picture
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly picture and words pull; the decoder's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; when not given ddim
            where the picture's own noise is kept, else the model's own
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
    from limner.tasks._paint import AT_ONCE
    from limner.tasks._parts import Parts
    from limner.tasks._planned import planned
    from limner.tasks._unclip import Way, inverted, open_decoder, painted, seen_by

    check_run(count, seed, first)
    if not 0 <= keep <= 1:
        raise BadInput(f"keep {keep}: give a number from 0 to 1")
    digest = file_hash(str(picture))
    paints = open_decoder(model, decoder)
    _, plan = planned(
        prompt,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler or ("ddim" if keep else None),
        model=paints.model,
        wordless=True,
    )
    paints = replace(paints, model=placed(paints.model, precision, compile))
    seen = seen_by(paints, picture)
    plan = replace(plan, size=seen.size)
    parts = Parts(watch, plan.steps * ((keep > 0) + -(-count // AT_ONCE)))
    own = None
    if keep:
        own = inverted(paints, plan, seen.x0, seen.embedding, parts.next(plan.steps))
    run = {"picture": str(picture), "keep": keep}
    run |= {"count": count, "first": first, "compile": compile}
    return painted(
        paints,
        plan,
        Way(lambda _: seen.embedding, own, keep, finish=seen.back),
        range(first, first + count),
        run,
        parts,
        task="vary",
        files={str(picture): digest},
    )


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more."""
    from limner.tasks._planned import told_again

    said, shared = recipe["arguments"], told_again(recipe, samples, model)
    check_files(recipe)
    return vary(picture=said["picture"], keep=said["keep"], watch=watch, **shared)
