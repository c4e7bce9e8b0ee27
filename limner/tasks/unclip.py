"""From words to an embedding of a picture, and from that to the picture."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import check_run, check_whole

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models._text_to_image import TextToImage
    from limner.models.decoder import Decoder
    from limner.models.prior import Prior
    from limner.noise import Noise
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "unclip"]

_MOST_CANDIDATES = 64


def unclip(
    prompt: str,
    *,
    candidates: int = 2,
    words: bool = True,
    prior_steps: int | None = None,
    prior_scale: float | None = None,
    negative: str | None = None,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    sampler: str | None = None,
    size: str | tuple[int, int] | None = None,
    model: str | Path | TextToImage = "embedded",
    decoder: str | None = None,
    prior: str = "embedded",
    precision: str = "auto",
    compile: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints a prompt by way of CLIP: a prior says what CLIP would see, a decoder paints that.

    The same arguments give the same pictures on the same machine. Picture k of a run is the same
    whether it is made alone or among others.

    Args:
        prompt: what to paint
        candidates: how many embeddings the prior makes for each picture; the one that agrees best
            with the words is painted
        words: tell the decoder the words, too
        prior_steps: of the prior's sampler; its own number when not given
        prior_scale: how strongly the words pull in the prior; its own when not given
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly it pulls; the decoder's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        size: width and height in pixels, such as 128x96; the model's own when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        decoder: folder of a decoder (limner train decoder); limner's own where it fits the model,
            when not given
        prior: "embedded", or a folder of limner train prior
        precision: auto, float32 or bfloat16
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument or a model is not usable.
    """
    from limner.models._open import placed
    from limner.models.prior import open_prior
    from limner.tasks._paint import AT_ONCE
    from limner.tasks._parts import Parts
    from limner.tasks._planned import planned
    from limner.tasks._unclip import Way, imagined, open_decoder, painted
    from limner.tasks.generate import fitting, size_of

    check_run(count, seed, first)
    check_whole({"candidates": (candidates, 1, _MOST_CANDIDATES)})
    check_whole({"prior-steps": (1 if prior_steps is None else prior_steps, 1, 1000)})
    if prior_scale is not None and not abs(prior_scale) <= 1000:
        raise BadInput(f"prior scale {prior_scale}: give a number, such as 2")
    wanted = None if size is None else size_of(size)
    paints = open_decoder(model, decoder)
    says = _fitting(open_prior(prior), paints)
    _, plan = planned(
        prompt,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=paints.model,
    )
    plan = replace(plan, size=fitting(wanted or plan.size, paints.model))
    paints = replace(paints, model=placed(paints.model, precision, compile))
    how: dict[str, Any] = {"candidates": candidates, "steps": prior_steps or says.steps}
    how["scale"] = says.guidance_scale if prior_scale is None else prior_scale
    run = {"candidates": candidates, "words": words, "prior": prior, "prior_steps": how["steps"]}
    run |= {"prior_scale": how["scale"], "count": count, "first": first, "compile": compile}

    def embeddings(noise: Noise) -> Tensor:
        return imagined(says, prompt, noise, **how).to(paints.model.device)

    return painted(
        paints,
        plan,
        Way(embeddings, words=words),
        range(first, first + count),
        run,
        Parts(watch, plan.steps * -(-count // AT_ONCE)),
        task="unclip",
        files={},
        prior=says,
    )


def _fitting(prior: Prior, decoder: Decoder) -> Prior:
    """The prior, when the decoder reads what it says."""
    if prior.clip.fingerprint != decoder.clip.fingerprint:
        raise BadInput(
            f"the prior {prior.name!r} knows another CLIP than the decoder {decoder.model.name!r}: "
            "train both with one (--clip)"
        )
    return prior


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
    prior = said["prior"]
    if prior != "embedded" and not os.path.isdir(prior):
        raise BadInput(
            f"the picture was made with the prior {prior!r}, which is not here: restore it"
        )
    return unclip(
        candidates=said["candidates"],
        words=said["words"],
        prior_steps=said["prior_steps"],
        prior_scale=said["prior_scale"],
        prior=prior,
        size=tuple(said["size"]),
        watch=watch,
        **shared,
    )
