"""In which style a picture is: a linear classifier of simple statistics.

Fitted on true pictures of the world (Fisher's discriminant with one covariance for all styles), as
they are and blurred and noisy, and on nothing that a model painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.measures._templates import SIDES, Bank, of_templates, seen
from limner.worlds import _vocabulary as words
from limner.worlds._styles import in_style
from limner.worlds.scenes import Scene, Thing

__all__ = ["Styles", "fit_styles", "smeared", "statistics", "styled_bank"]

SIDE = 128  # pixels a side of what is looked at
_RINGS, _WAYS = 12, 4  # of the spectrum: from coarse to fine, and the direction of the waves
_SHRINK = 0.05  # of the covariance towards its diagonal
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

    def of(self, picture: Tensor) -> str | None:
        """The style of picture (3, h, w) in [0, 1]."""
        scores = statistics(picture[None])[0] @ self.weight + self.bias
        return self.names[int(scores.argmax())]


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
    return torch.cat([torch.stack(simple, 1), *logs], 1)


def _bins() -> list[Tensor]:
    """Masks of the spectrum (SIDE, SIDE): rings of equal ratio, cut by direction."""
    waves = torch.fft.fftfreq(SIDE, 1 / SIDE)
    y, x = torch.meshgrid(waves, waves, indexing="ij")
    radius = torch.hypot(x, y)
    way = ((torch.atan2(y, x) / torch.pi * _WAYS).round() % _WAYS).long()
    limits = torch.logspace(np.log10(2.0), np.log10(64.0), _RINGS + 1)
    rings = zip(limits[:-1], limits[1:])
    masks = [
        (radius >= low) & (radius < high) & (way == w) for low, high in rings for w in range(_WAYS)
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
        scenes = [
            Scene(
                (Thing(nouns[(5 * k + i) % len(nouns)], size=sizes[k % 3]),), None, 1, ground, name
            )
            for k, ground in ((k, flat[k % 5] if k % 2 else "plain") for k in range(_EACH))
        ]
        drawn = np.stack([paint(scene, 1000 * i + k) for k, scene in enumerate(scenes)])
        sharp = torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255
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
    """Templates of things painted on a pale ground in a style, several to a canvas."""
    small = torch.zeros(len(things), len(SIDES), 4, SIDE // 4, SIDE // 4)
    for s, side in enumerate(SIDES):
        step = side + 1 if side < 16 else side
        spots = [
            (x, y) for y in range(0, 32 - side + 1, step) for x in range(0, 32 - side + 1, step)
        ]
        for first in range(0, len(things), len(spots)):
            some = range(first, min(first + len(spots), len(things)))
            canvas = _on_canvas([sprites[i] for i in some], spots, side, style)
            for i, (x, y) in zip(some, spots):
                small[i, s, :, :side, :side] = canvas[:, y : y + side, x : x + side]
    return of_templates(things, small)


def _on_canvas(
    sprites: Sequence[np.ndarray], spots: Sequence[tuple[int, int]], side: int, style: str
) -> Tensor:
    """Sprites side by side in a style: premultiplied (4, RES, RES)."""
    canvas, cover = Image.new("RGB", (SIDE, SIDE), (238, 238, 236)), Image.new("L", (SIDE, SIDE))
    for sprite, (x, y) in zip(sprites, spots):
        size, place = (4 * side, 4 * side), (4 * x, 4 * y)
        drawn = Image.fromarray(sprite).resize(size, Image.Resampling.BILINEAR)
        canvas.paste(drawn, place, drawn)
        cover.paste(drawn.getchannel("A"), place)
    wide = functional.max_pool2d(
        torch.from_numpy(np.asarray(cover, np.float32))[None, None] / 255, 3, 1, 1
    )[0]
    colours = torch.from_numpy(in_style(np.asarray(canvas), style)).permute(2, 0, 1) / 255
    return seen(torch.cat([colours * wide, wide])[None])[0]
