"""stylegan: CLIP leads the w+ of a StyleGAN2, from the picture's own (Patashnik et al. 2021,
"StyleCLIP", section 4)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from limner.generators import Latent
from limner.generators.stylegan import stylegan
from limner.judges import Judge
from limner.judges._views import Camera
from limner.judges.clip import Clip
from limner.judges.weighted import Weighted
from limner.models.embedded import facing
from limner.models.stylegan import StyleGAN, open_stylegan
from limner.prompt import parse
from limner.searches.descend import descend
from limner.tasks._editing import Order, Report, Usual
from limner.tasks._portrait import INVERSION_STEPS, found, identities, painted_over

__all__ = ["USUAL", "edit"]

USUAL = Usual(
    steps=200,
    strength=0.5,
    views=8,
    rounds=2,
    opens=open_stylegan,
    clips=lambda model: facing(),
)

# Of the latent's mean square move, in deviations of w, at strength ½. (The paper's .008 is for the
# squares' sum over 18 × 512 numbers of a network whose deviations are its own.)
_LATENT = 1.0
_IDENTITY = 0.1
_RAMP = (0.05, 0.25)  # the paper's
_CAMERA = Camera(cut_power=0.3)  # views of 80 to 100%: a small CLIP is fooled by a single one


def edit(order: Order, report: Report) -> Tensor:
    """1 − cos to the text, the way that w+ goes, and 1 − cos of the face's identity. The way weighs
    1/strength − 1 times its usual: nothing at strength 1."""
    model = order.model
    assert isinstance(model, StyleGAN)  # open_stylegan gives it
    generator = stylegan(model)

    def looked_for(step: int, preview: Callable[[], Tensor]) -> None:
        report(step * order.steps // INVERSION_STEPS, preview)

    start = found(order, model, looked_for, INVERSION_STEPS)

    @torch.no_grad()
    def painted(latent: Latent) -> Tensor:
        return painted_over(order, before, generator.render(latent))

    before = generator.render(start)
    weight = _LATENT * (1 / order.strength - 1)

    def way(latent: Latent) -> Tensor:
        moved = (latent["w+"] - start["w+"]) / model.w_std
        return weight * moved.square().mean((1, 2))

    states = descend(
        generator,
        _judge(order, model, before),
        noise=order.noise,
        steps=order.steps,
        start=start,
        ramp=_RAMP,
        prior=way,
    )
    latent = start
    for state in states:
        latent = state.latent
        report(order.steps + state.step, lambda latent=latent: painted(latent))  # type: ignore[misc]
    return painted(latent)


def _judge(order: Order, model: StyleGAN, before: Tensor) -> Judge:
    told: list[tuple[Judge, float]] = [
        (
            Clip(
                order.clips,
                parse(order.text),
                distance="cosine",
                views=order.views,
                camera=_CAMERA,
            ),
            1.0,
        )
    ]
    judge_of = identities(model)
    if judge_of is not None:
        told.append((judge_of(before), _IDENTITY))
    return Weighted(told)
