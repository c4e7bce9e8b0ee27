"""A part of a picture painted anew; the rest stays, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import (
    check_files,
    check_repainting,
    check_run,
    check_strength,
    file_hash,
)

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models._text_to_image import TextToImage
    from limner.models.controlnet import Control
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "inpaint"]


def inpaint(
    picture: str | Path,
    prompt: str,
    *,
    mask: str | Path,
    strength: float = 1.0,
    feather: int = 2,
    whole: bool = False,
    resample: int | None = None,
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
    adapter: str | None = None,
    control: str | Control | Sequence[str | Control] | None = None,
    precision: str = "auto",
    compile: bool = False,
    low_memory: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints what the prompt says where a mask is white; where it is black no bit changes.

    The same arguments give the same pictures on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to begin with
        prompt: what is to be seen, in all of the picture: "a cat on the grass"
        mask: a picture of the same size, white where it is painted anew, black where it stays; grey
            is a mixture of both
        strength: above 0, up to 1: the share of the model's time at which the masked part starts;
            at 1 nothing of it is left. All steps run, from there
        feather: pixels inside the mask's edges over which the new passes into the old
        whole: show the model all of a picture that is larger than it paints, not what is about the
            mask
        resample: how often each stretch of the way is gone, so that the new fits the old, at so
            many times the cost; 1 with a model trained for inpainting, else 4, when not given
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler, at any strength; the model's own number when not given
        guidance_scale: how strongly the words pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave; one for
            inpainting (a U-Net of 9 channels) or any other
        adapter: folder of an adapter (limner train inpainting), or none; limner's own where it fits
            the model, when not given
        control: pictures, over all of this one, that ControlNets paint by: "MODEL:WEIGHT=PICTURE",
            in a part of the steps "MODEL:WEIGHT:0,0.6=PICTURE", by its edges "MODEL=canny:PICTURE"
        precision: auto, float32, bfloat16, or int8: large weights in eight bits
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        low_memory: one network in memory at a time, and large pictures decoded in tiles
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture, the mask or the model is not usable.
    """
    from limner.models._open import placed
    from limner.models.adapter import with_adapter
    from limner.picture import load
    from limner.tasks._controls import controls_of, steering
    from limner.tasks._masks import feathered, mask_of
    from limner.tasks._paint import paint
    from limner.tasks._planned import planned
    from limner.tasks._repaint import repainted, rounds_of

    check_run(count, seed, first)
    check_strength(strength)
    check_repainting(feather, resample)
    pictured, pixels = controls_of(control), load(picture).pixels[None]
    shape = mask_of(mask, pixels)
    _check_kept(shape, mask)
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
        precision=precision,
        low_memory=low_memory,
    )
    opened = placed(with_adapter(opened, "inpainting", adapter), precision, compile)
    rounds, controls = rounds_of(opened, resample), steering(pictured, opened)
    run = {"picture": str(picture), "mask": str(mask), "strength": strength, "feather": feather}
    run |= {"whole": whole, "adapter": None if opened.beside else "none", "resample": rounds}
    run |= {"count": count, "first": first, "compile": compile, "control": controls.arguments()}
    run["low_memory"] = low_memory
    soft = feathered(shape, feather)
    return paint(
        opened,
        plan,
        range(first, first + count),
        run,
        watch,
        task="inpaint",
        course=repainted(
            opened,
            plan,
            pixels,
            shape,
            strength=strength,
            rounds=rounds,
            soft=soft,
            whole=whole,
            controls=controls,
        ),
        files={name: file_hash(name) for name in (str(picture), str(mask))} | controls.files(),
        controls=controls,
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
    from limner.tasks._controls import controls_again
    from limner.tasks._planned import told_again

    said, shared = recipe["arguments"], told_again(recipe, samples, model)
    check_files(recipe)
    return inpaint(
        picture=said["picture"],
        mask=said["mask"],
        strength=said["strength"],
        feather=said["feather"],
        whole=said["whole"],
        resample=said["resample"],
        adapter=said.get("adapter", "none"),
        control=controls_again(said),
        low_memory=said.get("low_memory", False),
        watch=watch,
        **shared,
    )


def _check_kept(mask: Tensor, name: str | Path) -> None:
    if float(mask.min()) > 0:
        raise BadInput(
            f"the mask {str(name)!r} is black nowhere, so nothing would be kept: limner restyle "
            "paints all of a picture anew, limner generate one without it"
        )
