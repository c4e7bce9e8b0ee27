"""More picture around a picture; what there was stays, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import BadInput
from limner.tasks._checks import check_files, check_repainting, check_run, check_whole, file_hash

if TYPE_CHECKING:
    from torch import Tensor

    from limner.models._text_to_image import TextToImage
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "outpaint"]

WIDEST = 4096  # pixels added on a side


def outpaint(
    picture: str | Path,
    prompt: str,
    *,
    left: int = 0,
    right: int = 0,
    top: int = 0,
    bottom: int = 0,
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
    precision: str = "auto",
    compile: bool = False,
    low_memory: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Paints on beyond a picture's edges; of the picture itself no bit changes.

    The same arguments give the same pictures on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to begin with
        prompt: what is to be seen, in all of the picture: "a cat on the grass"
        left: pixels to add on the left
        right: pixels to add on the right
        top: pixels to add above
        bottom: pixels to add below
        feather: pixels outside the picture's edges over which these, drawn on, pass into the new
        whole: show the model all of a picture that is larger than it paints, not what is about the
            new
        resample: how often each stretch of the way is gone, so that the new fits the old, at so
            many times the cost; 1 with a model trained for inpainting, else 4, when not given
        negative: what to keep away from
        count: how many pictures
        seed: which run; another seed, other pictures
        first: number of the first picture in its run; replaying picture 5 alone is first=5
        steps: steps of the sampler; the model's own number when not given
        guidance_scale: how strongly the words pull; the model's own when not given
        guidance_interval: from and to, in flow time: 0 is clean, 1 is noise; no pull outside
        guidance_rescale: 0 to 1, against too much contrast at large scales
        sampler: how to get from noise to a picture: a name in limner/samplers; the model's own
            when not given
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave; one for
            inpainting (a U-Net of 9 channels) or any other
        adapter: folder of an adapter (limner train inpainting), or none; limner's own where it fits
            the model, when not given
        precision: auto, float32, bfloat16, or int8: large weights in eight bits
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        low_memory: one network in memory at a time, and large pictures decoded in tiles
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.models._open import placed
    from limner.models.adapter import with_adapter
    from limner.picture import load
    from limner.tasks._masks import feathered
    from limner.tasks._paint import paint
    from limner.tasks._planned import planned
    from limner.tasks._repaint import repainted, rounds_of

    check_run(count, seed, first)
    sides = {"left": left, "right": right, "top": top, "bottom": bottom}
    _check_sides(sides)
    check_repainting(feather, resample)
    pixels, mask = _enlarged(load(picture).pixels[None], sides)
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
    rounds = rounds_of(opened, resample)
    run = {"picture": str(picture), **sides, "feather": feather, "whole": whole}
    run |= {"adapter": None if opened.beside else "none", "resample": rounds}
    run |= {"count": count, "first": first, "compile": compile, "low_memory": low_memory}
    soft = feathered(mask, feather)
    return paint(
        opened,
        plan,
        range(first, first + count),
        run,
        watch,
        task="outpaint",
        course=repainted(opened, plan, pixels, mask, rounds=rounds, soft=soft, whole=whole),
        files={str(picture): file_hash(str(picture))},
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
    return outpaint(
        picture=said["picture"],
        left=said["left"],
        right=said["right"],
        top=said["top"],
        bottom=said["bottom"],
        feather=said["feather"],
        whole=said["whole"],
        resample=said["resample"],
        adapter=said.get("adapter", "none"),
        low_memory=said.get("low_memory", False),
        watch=watch,
        **shared,
    )


def _check_sides(sides: dict[str, int]) -> None:
    check_whole({name: (pixels, 0, WIDEST) for name, pixels in sides.items()})
    if not any(sides.values()):
        raise BadInput("nothing to add: give pixels, such as --left 64, --right, --top or --bottom")


def _enlarged(picture: Tensor, sides: dict[str, int]) -> tuple[Tensor, Tensor]:
    """(1, 3, h, w) with its edges drawn on, and (1, 1, h, w) that is 1 there and 0 in it."""
    import torch
    from torch.nn.functional import pad

    from limner.picture import MAX_PIXELS

    by = (sides["left"], sides["right"], sides["top"], sides["bottom"])
    height, width = picture.shape[2] + by[2] + by[3], picture.shape[3] + by[0] + by[1]
    if height * width > MAX_PIXELS:
        raise BadInput(
            f"{width}x{height} would have over {MAX_PIXELS // 10**6} million pixels: add fewer"
        )
    known = torch.zeros_like(picture[:, :1])
    return pad(picture, by, mode="replicate"), pad(known, by, value=1.0)
