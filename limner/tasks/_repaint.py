"""Courses that begin with a picture: all of it painted anew, or what a mask shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limner.denoisers import Denoiser
from limner.denoisers.controlled import Acting
from limner.denoisers.inpaint import Inpaint
from limner.levels import Level
from limner.models._text_to_image import TextToImage
from limner.noise import Noise
from limner.picture import resize
from limner.tasks._controls import Controls
from limner.tasks._masks import blended
from limner.tasks._paint import Course, Plan, guided, levels
from limner.tasks._window import Window, window

__all__ = ["repainted", "restyled", "rounds_of"]

_ROUNDS = 4  # with a model that was not trained for inpainting


def restyled(
    model: TextToImage,
    plan: Plan,
    picture: Tensor,
    strength: float,
    controls: Controls | None = None,
) -> Course:
    """SDEdit (Meng et al. 2022, algorithm 1): x = α·x0 + σ·n at the share `strength` of the model's
    time, and from there to clean.

    picture: (1, 3, h, w) in [0, 1]; where it is not of the model's size it is brought near it, see
    `window`, and what was painted back. controls: their pictures lie over this one.
    """
    seen = window(_size(picture), model.size, model.downscale)
    view = seen.view(picture)
    along = levels(model, plan.steps, strength, (view.shape[3], view.shape[2]))
    x0 = model.encode(view)

    def start(noise: Noise) -> Tensor:
        return along[0].alpha * x0 + along[0].sigma * noise.normal(x0.shape[1:]).to(x0)

    steer = _steer(controls, along, seen, picture)
    return Course(guided(model, plan, controls=steer), along, start, seen.back)


def repainted(
    model: TextToImage,
    plan: Plan,
    picture: Tensor,
    mask: Tensor,
    *,
    strength: float = 1.0,
    rounds: int = 1,
    soft: Tensor | None = None,
    whole: bool = False,
    controls: Controls | None = None,
) -> Course:
    """What is above 0 in the mask painted anew; the rest stays, bit for bit.

    picture:   (1, 3, h, w) in [0, 1]
    mask:      (1, 1, h, w) in [0, 1]
    strength:  the share of the model's time at which the masked part starts; at 1 from noise alone
    rounds:    see `resampled`
    soft:      how much of what is painted is seen, not more than the mask; the mask when not given
    whole:     all of a large picture is shown to the model, not what is about the mask
    controls:  their pictures lie over this one

    A model that was trained for it is shown the mask and what is known beside each x (Rombach et
    al. 2022, as `StableDiffusionInpaintPipeline`); any other is held to what is known, see
    `Inpaint`. Each latent of which a masked pixel is part is painted, and what is seen of it in the
    end is decided pixel by pixel.
    """
    seen = window(_size(picture), model.size, model.downscale, None if whole else mask)
    view, cells = seen.view(picture), seen.cells(mask).to(model.device)
    along = levels(model, plan.steps, strength, (view.shape[3], view.shape[2]))
    x0 = model.encode(view)
    steer = _steer(controls, along, seen, picture)
    denoiser = _trained(model, plan, view, cells, steer)
    denoiser = denoiser or Inpaint(guided(model, plan, controls=steer), x0, cells)

    def start(noise: Noise) -> Tensor:
        n = noise.normal(x0.shape[1:]).to(x0)
        x = along[0].alpha * x0 + along[0].sigma * n
        if strength < 1:
            return x
        # Nothing of what is under the mask is left, though a VP model's table ends before. A model
        # that was trained for it paints all anew, as diffusers' pipeline has it do.
        blank = torch.ones_like(cells) if model.beside else cells
        return torch.where(blank > 0, math.hypot(*along[0]) * n, x)

    def finish(painted: Tensor) -> Tensor:
        return _set_in(picture, seen, painted, mask if soft is None else soft)

    return Course(denoiser, along, start, finish, rounds)


def rounds_of(model: TextToImage, said: int | None) -> int:
    """How often the stretches of the way are gone: as said, or what serves the model."""
    return said or (1 if model.beside else _ROUNDS)


def _trained(
    model: TextToImage, plan: Plan, view: Tensor, cells: Tensor, steer: Sequence[Acting]
) -> Denoiser | None:
    """The network of an inpainting model, told the mask and the latents of what is known."""
    if model.conditioned != "inpainting":
        return None  # and `guided` refuses what was trained for something else
    hole = cells.repeat_interleave(model.downscale, 2).repeat_interleave(model.downscale, 3)
    grey = view.to(hole).where(hole == 0, torch.tensor(0.5, device=hole.device))
    return guided(model, plan, torch.cat([cells, model.encode(grey)], 1), controls=steer)


def _steer(
    controls: Controls | None, along: Sequence[Level], seen: Window, picture: Tensor
) -> Sequence[Acting]:
    """The controls, of whose pictures the model sees what it sees of this one."""
    if controls is None:
        return ()
    return controls.along(along, lambda each: seen.view(resize(each, _size(picture))))


def _set_in(picture: Tensor, seen: Window, painted: Tensor, mask: Tensor) -> Tensor:
    """The picture with what was painted in its window, by the mask (1, 1, h, w)."""
    back = seen.back(painted)
    full = picture.repeat(len(back), 1, 1, 1)
    at = (slice(None), slice(None), seen.rows, seen.columns)
    full[at] = blended(picture[at], back, mask[at])
    return full


def _size(picture: Tensor) -> tuple[int, int]:
    return picture.shape[2], picture.shape[3]
