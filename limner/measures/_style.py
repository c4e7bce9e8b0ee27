"""In which style a picture is.

A linear classifier of simple statistics says which styles are likely. It is fitted on true pictures
of the world (Fisher's discriminant with one covariance for all styles), as they are and blurred and
noisy, and on nothing that a model painted. Among the likely ones the best explanation decides: what
is seen in the picture, painted again in each style.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.measures._search import Found
from limner.measures._templates import RES, SIDES, Bank, of_templates
from limner.worlds import _vocabulary as words
from limner.worlds._styles import in_style
from limner.worlds.scenes import Scene, Thing

__all__ = ["Styles", "fit_styles", "smeared", "repainted", "statistics", "styled_bank"]

SIDE = 128  # pixels a side of what is looked at
_RINGS, _WAYS = 12, 4  # of the spectrum: from coarse to fine, and the direction of the waves
_SHRINK = 0.05  # of the covariance towards its diagonal
_PAINTED, _PALE = (44, 64, 96), (238, 238, 236)  # sides of the templates in pixels; their ground
_EACH = 14  # pictures of each style to fit on, and for each its smeared copies
# Where the styles leave a comb in the spectrum, in waves per picture across and down: mosaic's
# tiles of 8 pixels, pixel art's of 4, comic's dots of 6, oil's relief.
_COMBS = ((16, 0), (0, 16), (32, 0), (0, 32), (21, 0), (0, 21), (21, 21), (18, 10))


@dataclass(frozen=True, eq=False)
class Styles:
    """names[0] is None, no style. score = statistics · weight + bias."""

    names: tuple[str | None, ...]
    weight: Tensor  # (statistics, styles)
    bias: Tensor  # (styles,)

    def likely(self, picture: Tensor, count: int) -> list[str | None]:
        """The likeliest styles of picture (3, h, w) in [0, 1], the first one first."""
        scores = statistics(picture[None])[0] @ self.weight + self.bias
        return [self.names[i] for i in scores.topk(count).indices.tolist()]


def statistics(pictures: Tensor) -> Tensor:
    """Pictures (b, 3, h, w) in [0, 1] → (b, n): colourfulness, light, edges, and the spectrum."""
    pictures = functional.interpolate(pictures.float(), size=(SIDE, SIDE), mode="area")
    light = pictures.mean(1)
    colourful = pictures.amax(1) - pictures.amin(1)
    edges = light.diff(dim=1).abs()[:, :, :-1] + light.diff(dim=2).abs()[:, :-1]
    simple = [
        *(each.mean((1, 2)) for each in (light, colourful, edges)),
        *(each.std((1, 2)) for each in (light, colourful, edges)),
        *((light < dark).float().mean((1, 2)) for dark in (0.1, 0.2)),
    ]
    power = torch.fft.fft2(light - light.mean((1, 2), keepdim=True)).abs().square() / SIDE**4
    bins = torch.stack([power[:, mask].mean(1) for mask in _bins()], 1)
    near = functional.pad(power, (2, 2, 2, 2), mode="circular").unfold(1, 5, 1).unfold(2, 5, 1)
    combs = torch.stack([near[:, y, x].amax((1, 2)) for x, y in _COMBS], 1)
    around = torch.stack([near[:, y, x].mean((1, 2)) for x, y in _COMBS], 1)
    floor = 1e-9
    logs = [(bins + floor).log(), ((combs + floor) / (around + floor)).log()]
    return torch.cat([torch.stack(simple, 1), *logs, _beats(light)], 1)


def _beats(light: Tensor) -> Tensor:
    """light (b, h, w) → (b, n): how much of the change falls on each phase of the styles' grids."""
    out = []
    for axis in (1, 2):
        change = light.diff(dim=axis).abs().mean(3 - axis) + 1e-4  # (b, SIDE − 1)
        for period in (4, 6, 8):
            phases = [change[:, phase::period].mean(1) for phase in range(period)]
            told = torch.stack(phases, 1)
            out.append((told / told.mean(1, keepdim=True)).log())
    return torch.cat(out, 1)


def _bins() -> list[Tensor]:
    """Masks of the spectrum (SIDE, SIDE): rings of equal ratio, cut by direction."""
    waves = torch.fft.fftfreq(SIDE, 1 / SIDE)
    y, x = torch.meshgrid(waves, waves, indexing="ij")
    radius = torch.hypot(x, y)
    way = ((torch.atan2(y, x) / torch.pi * _WAYS).round() % _WAYS).long()
    limits = torch.logspace(np.log10(2.0), np.log10(64.0), _RINGS + 1)
    masks = [
        (radius >= low) & (radius < high) & (way == w)
        for low, high in pairwise(limits)
        for w in range(_WAYS)
    ]
    return [mask for mask in masks if mask.any()]


def smeared(pictures: Tensor, blur: float = 1.0, noise: float = 0.03, seed: int = 0) -> Tensor:
    """Pictures (b, 3, h, w) in [0, 1], Gaussian blur in pixels, and Gaussian noise over it."""
    reach = max(1, round(3 * blur))
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / blur) ** 2)
    bell = (bell / bell.sum()).to(pictures)
    padded = functional.pad(pictures.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, bell[None, None, None])
    soft = functional.conv2d(across, bell[None, None, :, None])[:, 0].unflatten(
        0, pictures.shape[:2]
    )
    grain = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(seed))
    return (soft + noise * grain.to(pictures)).clamp(0, 1)


def fit_styles(paint: Callable[[Scene, int], np.ndarray], nouns: Sequence[str]) -> Styles:
    """`paint(scene, seed)` gives a true picture uint8 (h, w, 3); nouns: what to put in it."""
    names: tuple[str | None, ...] = (None, *words.STYLES)
    flat, sizes = ("plain", "red", "yellow", "blue", "green"), list(words.SIZES)
    means, spread = [], []
    for i, name in enumerate(names):
        drawn = []
        for k in range(_EACH):
            thing = Thing(nouns[(5 * k + i) % len(nouns)], size=sizes[k % 3])
            ground = flat[k % 5] if k % 2 else "plain"
            drawn.append(paint(Scene((thing,), None, 1, ground, name), 1000 * i + k))
        sharp = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2) / 255
        versions = [sharp, smeared(sharp, 0.6, 0.01), smeared(sharp, 1.0, 0.03, 1)]
        told = statistics(torch.cat(versions))
        means.append(told.mean(0))
        spread.append(told - told.mean(0))
    centre, within = torch.stack(means), torch.cat(spread)
    covariance = within.T @ within / len(within)
    diagonal = covariance.diag().diag()
    covariance = (1 - _SHRINK) * covariance + _SHRINK * diagonal + 1e-6 * torch.eye(len(diagonal))
    weight = torch.linalg.solve(covariance, centre.T)
    return Styles(names, weight, -0.5 * (centre * weight.T).sum(1))


def styled_bank(things: Sequence[Thing], sprites: Sequence[np.ndarray], style: str) -> Bank:
    """Templates of things painted on a pale ground in a style.

    They are painted in three sizes, several to a canvas, and brought from the nearest of these to
    the others: strokes and outlines do not grow with the things, and painting takes long.
    """
    small = torch.zeros(len(things), len(SIDES), 4, RES, RES)
    painted = {side: _in_size(sprites, side, style) for side in _PAINTED}
    for s, side in enumerate(SIDES):
        nearest = min(_PAINTED, key=lambda each: abs(np.log(each / (4 * side))))
        small[:, s, :, :side, :side] = functional.interpolate(
            painted[nearest], size=(side, side), mode="bilinear", antialias=True
        )
    return of_templates(things, small)


def _in_size(sprites: Sequence[np.ndarray], side: int, style: str) -> Tensor:
    """Sprites in a style: (n, 4, side, side), premultiplied."""
    step = SIDE // (SIDE // side)
    spots = [
        (x, y) for y in range(0, SIDE - side + 1, step) for x in range(0, SIDE - side + 1, step)
    ]
    out = []
    for first in range(0, len(sprites), len(spots)):
        canvas, cover = Image.new("RGB", (SIDE, SIDE), _PALE), Image.new("L", (SIDE, SIDE))
        some = list(zip(sprites[first : first + len(spots)], spots))
        for sprite, place in some:
            drawn = Image.fromarray(sprite).resize((side, side), Image.Resampling.BILINEAR)
            canvas.paste(drawn, place, drawn)
            cover.paste(drawn.getchannel("A"), place)
        alpha = torch.from_numpy(np.asarray(cover, np.float32))[None] / 255
        colours = torch.from_numpy(in_style(np.asarray(canvas), style)).permute(2, 0, 1) / 255
        whole = torch.cat([colours * alpha, alpha])
        out += [whole[:, y : y + side, x : x + side] for _, (x, y) in some]
    return torch.stack(out)


def repainted(ground: np.ndarray, thing: Found, sprite: np.ndarray, style: str | None) -> Tensor:
    """A thing on a ground, painted in a style: (3, SIDE, SIDE) in [0, 1]."""
    side, (left, top) = 4 * SIDES[thing.side], thing.corner
    drawn = Image.fromarray(sprite).resize((side, side), Image.Resampling.BILINEAR)
    canvas = Image.fromarray(ground)
    canvas.paste(drawn, (4 * left, 4 * top), drawn)
    painted = in_style(np.asarray(canvas), style) if style else np.asarray(canvas)
    return torch.from_numpy(painted).permute(2, 0, 1) / 255
