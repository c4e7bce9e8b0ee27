"""direction: channels of StyleSpace that CLIP sees lead from one text to another are moved
(Patashnik et al. 2021, "StyleCLIP", section 6)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators.stylegan import stylegan
from limner.judges.direction import Direction
from limner.models._channels import changes, channels, deviations, samples
from limner.models.directions import Directions, open_directions
from limner.models.embedded import facing
from limner.models.stylegan import StyleGAN
from limner.prompt import Notice
from limner.tasks._edit_layer import shown
from limner.tasks._editing import Model, Order, Report, Usual
from limner.tasks._portrait import INVERSION_STEPS, found, painted_over, unchanged

__all__ = ["USUAL", "edit"]

_PICTURES = 16  # by which the directions are measured where none are given; the paper's are 100
_MOST = 10.0  # α at strength 1, in deviations of the channel that is most relevant


def _clips(model: Model) -> list[str]:
    """Those that the directions were measured by."""
    if isinstance(model, Directions):
        return [name for name, _ in model.clips]
    return facing()


USUAL = Usual(
    steps=INVERSION_STEPS,
    strength=0.5,
    rounds=2,
    views=0,
    has_source=True,
    has_threshold=True,
    opens=open_directions,
    clips=_clips,
)


def edit(order: Order, report: Report) -> Tensor:
    """The picture's styles + α·Δs, α = 10·strength."""
    known = _directions(order, report)
    model = known.generator
    source = order.source or shown(order, order.picture)
    axes = Direction(order.clips, order.picture, source, order.text).axes
    way = known.direction(axes, order.threshold)
    latent = found(order, model, lambda step, preview: report(order.steps + step, preview))
    with torch.no_grad():
        before = model.styles(latent["w+"])
        generator = stylegan(model, kind="styles")
        pictures = [
            generator.render({"styles": styles, "noise": latent["noise"]})
            for styles in (before, before + _MOST * order.strength * way)
        ]
    return painted_over(order, *pictures)


def _directions(order: Order, report: Report) -> Directions:
    """Those that are given, if they are these CLIPs'; else measured now."""
    if isinstance(order.model, StyleGAN):
        return _measured(order, order.model, report)
    assert isinstance(order.model, Directions)  # open_directions gives one of the two
    if [clip.fingerprint for clip in order.clips] != [known for _, known in order.model.clips]:
        names = ", ".join(name for name, _ in order.model.clips)
        raise BadInput(
            f"the directions {order.model.name!r} were measured by other CLIPs, {names}: "
            "name those (--clip), or measure anew"
        )
    return order.model


def _measured(order: Order, model: StyleGAN, report: Report) -> Directions:
    """In the first half of what is reported."""
    message = (
        "the directions are measured first, anew each time: limner train directions keeps them"
    )
    warnings.warn(message, Notice, stacklevel=2)
    styles, deviation = samples(model, _PICTURES), deviations(model)
    some = channels(model.network.shape).tolist()
    rows: list[list[Tensor]] = []
    for done, channel in enumerate(some, 1):
        rows.append(changes(model, order.clips, styles, deviation, [channel]))
        report(done * order.steps // len(some), lambda: unchanged(order))
    return Directions(
        name=model.name,
        generator=model,
        deviation=deviation,
        changes=tuple(torch.cat(each) for each in zip(*rows)),
        clips=tuple((clip.name, clip.fingerprint) for clip in order.clips),
        licence=model.licence,
        files=(),
    )
