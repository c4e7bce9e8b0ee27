"""One prompt under several kinds of guidance, from the same noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks import Stopped
from limner.tasks._checks import check_run, check_whole, clip_names, is_local

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch
    from limner.tasks._guided import Aids, Told
    from limner.tasks._paint import Plan

__all__ = ["again", "guide"]

_MOST_VIEWS = 1024
_MOST_SCALE = 1e5


def guide(
    prompt: str,
    *,
    compare: str | Sequence[str] | None = None,
    count: int = 4,
    seed: int = 0,
    first: int = 0,
    negative: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    guidance_rescale: float = 0.0,
    clip: str | Sequence[str] | None = None,
    views: int = 8,
    sight: str = "linear",
    through: str = "x0",
    clip_scale: float = 100.0,
    noised_clip: str | Path | None = None,
    noised_clip_scale: float = 3.0,
    classifier: str | Path | None = None,
    classifier_scale: float = 3.0,
    weak: str | Path | None = None,
    auto_scale: float = 2.0,
    sampler: str | None = None,
    model: str | Path | TextToImage = "embedded",
    precision: str = "auto",
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints a prompt under several kinds of guidance, each from the same noise, to compare them.

    All pictures of one kind come before those of the next. Each has a recipe of its own, and the
    same arguments give the same pictures on the same machine.

    Args:
        prompt: what to paint; parts with weights are composed: "a cat:2 | a dog | snow:-1"
        compare: kinds, with commas: none, cfg, clip, noised-clip, classifier, auto; and several at
            once, such as cfg+clip. All that can be had when not given
        count: how many pictures of each kind
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        negative: what cfg keeps away from
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: of cfg; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: of cfg: 0 to 1, against too much contrast at large scales
        clip: the CLIPs that clip follows: names of limner's own, folders or hub ids, with commas
        views: random views of each picture that each CLIP judges at each level
        sight: linear, by which clip sees latents at half the size and next to no cost; or decoder,
            with which the model decodes them in each step
        through: x0, where clip's gradient stops, which is quick; or denoiser, through which it goes
        clip_scale: of clip
        noised_clip: folder of a CLIP that was taught noise (limner train noised-clip), or embedded
        noised_clip_scale: of noised-clip
        classifier: folder of a classifier of noisy latents (limner train noised-classifier), or
            embedded; the thing that the prompt names first is its class
        classifier_scale: of classifier
        weak: folder of the model that auto leads away from: an earlier checkpoint, or a smaller one
        auto_scale: of auto; 1 is none
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        precision: auto, float32 or bfloat16
        watch: called after each step with a Progress; raise in it to stop

    Ctrl-C after the first kind raises Stopped, which holds the pictures that are done. Raises
    BadInput when an argument or a model is not usable.
    """
    from limner.models._open import placed
    from limner.tasks._guided import KINDS, Told, aids, kinds_of
    from limner.tasks._planned import planned
    from limner.tasks._sight import SIGHTS

    check_run(count, seed, first)
    check_whole({"views": (views, 1, _MOST_VIEWS)})
    kinds = kinds_of(KINDS if compare is None else compare)
    said = Told(
        clip=clip_names(clip),
        views=views,
        sight=_one_of(SIGHTS, "sight", sight),
        through=_one_of(("x0", "denoiser"), "through", through),
        clip_scale=clip_scale,
        noised_clip=_named(noised_clip),
        noised_clip_scale=noised_clip_scale,
        classifier=_named(classifier),
        classifier_scale=classifier_scale,
        weak=_named(weak),
        auto_scale=auto_scale,
    )
    _check_scales(said)
    opened, plan = planned(
        prompt,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        guidance_rescale=guidance_rescale,
        sampler=sampler,
        model=model,
    )
    opened = placed(opened, precision)
    kinds, found = aids(kinds, said, opened, prompt, asked=compare is not None)
    return _painted(opened, plan, kinds, said, found, range(first, first + count), watch)


def _painted(
    model: TextToImage,
    plan: Plan,
    kinds: list[str],
    said: Told,
    aids: Aids,
    samples: range,
    watch: Watch | None,
) -> list[Picture]:
    """Kind by kind, at most AT_ONCE pictures in one pass; Stopped where Ctrl-C comes."""
    from limner.noise import Noise
    from limner.tasks._guided import denoiser_of
    from limner.tasks._paint import AT_ONCE, from_noise, paint
    from limner.tasks._parts import Parts

    course = from_noise(model, plan)
    chunks = [samples[i : i + AT_ONCE] for i in range(0, len(samples), AT_ONCE)]
    parts = Parts(watch, len(kinds) * len(chunks) * course.count)
    out: list[Picture] = []
    try:
        for kind in kinds:
            run = asdict(said) | {"compare": kind, "count": len(samples), "first": samples.start}
            row: list[Picture] = []
            for chunk in chunks:
                denoiser = denoiser_of(kind, model, plan, aids, said, Noise(plan.seed, chunk))
                way, onward = replace(course, denoiser=denoiser), parts.next(course.count)
                row += paint(model, plan, chunk, run, onward, task="guide", course=way)
            used = aids.recipe(kind)
            out += [replace(each, recipe=(each.recipe or {}) | used) for each in row]
    except KeyboardInterrupt:
        if not out:
            raise
        raise Stopped(out) from None
    return out


def again(
    recipe: dict[str, Any],
    samples: range,
    *,
    model: str | Path | TextToImage | None,
    clip: str | None,
    watch: Watch | None,
) -> list[Picture]:
    """Pictures of a recipe's run once more, of its one kind."""
    from limner.tasks._planned import told_again

    said = recipe["arguments"]
    shared = told_again(recipe | {"arguments": said | {"compile": False}}, samples, model)
    del shared["compile"]
    kind = said["compare"].split("+")
    clips = said["clip"] if clip is None else clip
    names = list(clips) if "clip" in kind and clip is None else []
    uses = {"noised-clip": "noised_clip", "classifier": "classifier", "auto": "weak"}
    names += [said[uses[part]] for part in kind if part in uses and said[uses[part]] is not None]
    for name in names:
        _check_here(name)
    return guide(
        compare=said["compare"],
        clip=clips,
        views=said["views"],
        sight=said["sight"],
        through=said["through"],
        clip_scale=said["clip_scale"],
        noised_clip=said["noised_clip"],
        noised_clip_scale=said["noised_clip_scale"],
        classifier=said["classifier"],
        classifier_scale=said["classifier_scale"],
        weak=said["weak"],
        auto_scale=said["auto_scale"],
        watch=watch,
        **shared,
    )


def _check_here(name: object) -> None:
    """BadInput unless it comes with limner or is a folder: a picture must not decide what is
    fetched from the network."""
    if not is_local(name):
        raise BadInput(
            f"the picture was guided by {name!r}, which is not here: restore it, or paint again "
            "with limner guide"
        )


def _named(model: str | Path | None) -> str | None:
    return None if model is None else str(model)


def _one_of(known: Sequence[str], flag: str, said: str) -> str:
    if said not in known:
        raise BadInput(f"--{flag} {said!r}: give {' or '.join(known)}")
    return said


def _check_scales(said: Told) -> None:
    scales = ("clip_scale", "noised_clip_scale", "classifier_scale", "auto_scale")
    for name in scales:
        value = getattr(said, name)
        if not (math.isfinite(value) and abs(value) <= _MOST_SCALE):
            flag = name.replace("_", "-")
            raise BadInput(f"--{flag} {value}: give a number up to {_MOST_SCALE:g}")
