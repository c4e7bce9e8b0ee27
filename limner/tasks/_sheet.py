"""What `explain` found, on one sheet: the picture, its words' maps, its steps, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from limner.picture import Picture, from_uint8, resize
from limner.tasks._plots import INK, PALE, font, plot

if TYPE_CHECKING:
    from limner.tasks._explained import Explained

__all__ = ["over", "sheet"]

_WIDE, _MARGIN, _GAP = 1200, 28, 10  # pixels
_LINE = 22  # of text under a picture
_MOST_WORDS, _FRAMES = 32, 10
# Black, violet, red, orange, pale yellow: evenly rising in lightness, so that it reads in grey too.
_HEAT = torch.tensor(
    [[4, 3, 18], [72, 18, 108], [158, 42, 99], [229, 89, 52], [250, 163, 36], [252, 247, 170]]
)


def over(picture: Tensor, heat: Tensor) -> Tensor:
    """A map (h, w), of any scale, as a glow over the greyed picture (3, h, w) in [0, 1].

    Its least is dark and its most bright: what a word looks at is shown, not how much.
    """
    low, high = heat.min(), heat.max()
    share = (heat - low) / (high - low).clamp(min=1e-12)
    place = share.clamp(0, 1) * (len(_HEAT) - 1)
    below = place.floor().long().clamp(max=len(_HEAT) - 2)
    colours = _HEAT.to(picture) / 255
    glow = torch.lerp(colours[below], colours[below + 1], (place - below)[..., None])
    grey = picture.new_tensor([0.299, 0.587, 0.114])[:, None, None].mul(picture).sum(0)
    return torch.lerp(grey.expand(3, -1, -1), glow.permute(2, 0, 1), 0.62)


def sheet(found: Explained) -> Picture:
    """1200 pixels wide, as high as it needs. It carries the picture's recipe."""
    parts = [_head(found), _maps(found), _strip(found), _curves(found)]
    high = sum(each.height for each in parts) + _MARGIN * (len(parts) + 1)
    out, y = Image.new("RGB", (_WIDE, high), "white"), _MARGIN
    for each in parts:
        out.paste(each, (0, y))
        y += each.height + _MARGIN
    recipe = found.picture.recipe
    return from_uint8(np.asarray(out), recipe={"task": "sheet", "of": [recipe]} if recipe else None)


def _head(found: Explained) -> Image.Image:
    """The prompt."""
    shown = " ".join(found.prompt.split())
    shown = shown if len(shown) <= 90 else shown[:89] + "…"
    out = Image.new("RGB", (_WIDE, 34), "white")
    ImageDraw.Draw(out).text((_MARGIN, 0), shown, INK, font(24))
    return out


def _maps(found: Explained) -> Image.Image:
    """The picture, then a map for each word, as large as fits."""
    words, pixels = found.words[:_MOST_WORDS], found.picture.pixels.float().cpu()
    cells = [pixels, *(over(pixels, heat) for heat in found.over[:_MOST_WORDS])]
    columns = next(n for n in (4, 5, 6, 8, 10) if n == 10 or 2 * n >= len(cells))
    return _row(cells, ["the picture", *words], columns, 15)


def _strip(found: Explained) -> Image.Image:
    """What was expected after each step, or under each level of noise: ten of them evenly."""
    count = len(found.previews)
    chosen = sorted({round(i * (count - 1) / (_FRAMES - 1)) for i in range(_FRAMES)})
    cells = [found.previews[i].pixels.float().cpu() for i in chosen]
    if found.painted:
        labels = [f"step {i + 1}" for i in chosen]
    else:
        labels = [f"noise {found.calls[i].level.time:.0%}" for i in chosen]
    return _row(cells, labels, max(len(cells), 5), 13)


def _row(cells: Sequence[Tensor], labels: Sequence[str], columns: int, size: int) -> Image.Image:
    """Pictures (3, h, w) of one size with a line under each, over the sheet's width."""
    wide = (_WIDE - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    high = max(1, round(wide * cells[0].shape[1] / cells[0].shape[2]))
    rows = -(-len(cells) // columns)
    out = Image.new("RGB", (_WIDE, rows * (high + _LINE) + (rows - 1) * _GAP), "white")
    draw = ImageDraw.Draw(out)
    for k, (cell, label) in enumerate(zip(cells, labels)):
        x = _MARGIN + k % columns * (wide + _GAP)
        y = k // columns * (high + _LINE + _GAP)
        out.paste(Picture(resize(cell, (high, wide))).image(), (x, y))
        draw.text((x + wide / 2, y + high + 4), label, PALE, font(size), anchor="ma")
    return out


def _curves(found: Explained) -> Image.Image:
    """The schedule, its signal-to-noise ratio, and how far guidance moved each x0."""
    levels = [call.level for call in found.calls]
    across = list(range(1, len(levels) + 1))
    wide = (_WIDE - 2 * _MARGIN - 2 * _GAP) // 3
    panels = {
        "schedule": {
            "picture (alpha)": [a for a, _ in levels],
            "noise (sigma)": [s for _, s in levels],
        },
        "log signal-to-noise ratio": {"log SNR": [each.log_snr for each in levels]},
        "guidance: how far it moves x0": {"pull": [call.pull for call in found.calls]},
    }
    out = Image.new("RGB", (_WIDE, 230), "white")
    for k, (title, curves) in enumerate(panels.items()):
        panel = plot(title, curves, (wide, 230), across=across, under="call of the network")
        out.paste(panel, (_MARGIN + k * (wide + _GAP), 0))
    return out
