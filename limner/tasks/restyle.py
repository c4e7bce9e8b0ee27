"""A picture painted anew in other words, from as much noise as it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.tasks._checks import check_files, check_run, check_strength, file_hash

if TYPE_CHECKING:
    from limner.models._text_to_image import TextToImage
    from limner.models.controlnet import Control
    from limner.picture import Picture
    from limner.tasks import Watch

__all__ = ["again", "restyle"]


def restyle(
    picture: str | Path,
    prompt: str,
    *,
    strength: float = 0.6,
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
    control: str | Control | Sequence[str | Control] | None = None,
    precision: str = "auto",
    compile: bool = False,
    low_memory: bool = False,
    watch: Watch | None = None,
) -> list[Picture]:
    """Adds noise to a picture and paints it away by other words: its layout stays, its look goes.

    The same arguments give the same pictures on the same machine.

    Args:
        picture: the PNG, JPEG or WebP to begin with
        prompt: what is to be seen; parts with weights are composed: "a cat:2 | a dog | snow:-1"
        strength: above 0, up to 1: the share of the model's time at which it starts; at 1 all is
            new. All steps run, from there
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
        model: "embedded", a folder in diffusers' layout, a hub id, or what open_model gave
        control: pictures, over all of this one, that ControlNets paint by: "MODEL:WEIGHT=PICTURE",
            in a part of the steps "MODEL:WEIGHT:0,0.6=PICTURE", by its edges "MODEL=canny:PICTURE"
        precision: auto, float32, bfloat16, or int8: large weights in eight bits
        compile: compile the network: slow the first time, faster from then on; on a CPU in
            bfloat16 it rounds to eight bits, which is not seen but not quite the same picture
        low_memory: one network in memory at a time, and large pictures decoded in tiles
        watch: called after each step with a Progress; raise in it to stop

    Raises BadInput when an argument, the picture or the model is not usable.
    """
    from limner.models._open import placed
    from limner.picture import load
    from limner.tasks._controls import controls_of, steering
    from limner.tasks._paint import paint
    from limner.tasks._planned import planned
    from limner.tasks._repaint import restyled

    check_run(count, seed, first)
    check_strength(strength)
    pictured, pixels = controls_of(control), load(picture).pixels[None]
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
    opened = placed(opened, precision, compile)
    controls = steering(pictured, opened)
    run = {"picture": str(picture), "strength": strength, "control": controls.arguments()}
    run |= {"count": count, "first": first, "compile": compile, "low_memory": low_memory}
    return paint(
        opened,
        plan,
        range(first, first + count),
        run,
        watch,
        task="restyle",
        course=restyled(opened, plan, pixels, strength, controls),
        files={str(picture): file_hash(str(picture))} | controls.files(),
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
    return restyle(
        picture=said["picture"],
        strength=said["strength"],
        control=controls_again(said),
        low_memory=said.get("low_memory", False),
        watch=watch,
        **shared,
    )
