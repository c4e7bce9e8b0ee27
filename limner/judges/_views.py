"""Views: what a camera sees of a picture when it is moved, turned and tilted at random.

A network that sees one picture in one way is easily fooled; what holds in many views at once is in
the picture. All that moves pixels is one homography, so that they are resampled only once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.noise import Noise

__all__ = ["Camera", "Shot", "check_counts", "shots", "shots_for"]

_DRAWN = 17  # uniform numbers that one view takes


@dataclass(frozen=True)
class Camera:
    """How views are drawn. With all at 0 a view is the whole picture (its shorter side squared).

    cut_power:    a view's side is u^cut_power of the way from CLIP's side to the picture's shorter
                  side: 1 for all sizes alike, smaller for larger views
    degrees:      turned by up to this much to either side
    shift:        moved by up to this much of its side, each way
    perspective:  in [0, 1): an edge comes up to (1 + this/2)/(1 − this/2) times nearer than the
                  one across; nothing outside the cut-out is seen by it
    flip:         the chance that left and right change places
    jitter:       brightness, contrast and saturation change by up to this share, hue by this turn
    grain:        normal noise is added, of up to this standard deviation
    chance:       that a view is turned and shifted, that it is tilted, that its colours change

    The defaults are the popular VQGAN+CLIP script's. Beyond the edges the edge goes on.
    """

    cut_power: float = 1.0
    degrees: float = 15.0
    shift: float = 0.1
    perspective: float = 0.7
    flip: float = 0.5
    jitter: float = 0.1
    grain: float = 0.1
    chance: float = 0.7

    def __post_init__(self) -> None:
        most = {"cut_power": math.inf, "degrees": 180, "perspective": 0.99}
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value <= most.get(each.name, 1):
                top = most.get(each.name, 1)
                raise BadInput(f"{each.name} {value}: give a number from 0 to {top}")


@dataclass(frozen=True)
class Shot:
    """n views of each of b pictures, drawn: called on pictures it sees them so, as often as wanted.

    aims:    (b, n, 3, 3) float64, from a view's square [−1, 1]² to the picture's pixels; x to the
             right, y down, (0, 0) the outer corner
    colours: (b, n, 3, 4) float64, colour ↦ 3×3 · colour + the last column
    grain:   (b, n, 3, side, side), added in the end; None for none
    side:    of the views, pixels
    """

    aims: Tensor
    colours: Tensor
    grain: Tensor | None
    side: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → views (b·n, 3, side, side), n of each in a row.

        Not clamped: a clamp would hide from the gradient what jitter and grain push out of [0, 1].
        """
        views = _resampled(pictures, self.aims, self.side)
        views = _coloured(views, self.colours.to(pictures))
        if self.grain is not None:
            views = views + self.grain.to(pictures)
        return views.flatten(0, 1)


def check_counts(views: int, at_once: int | None) -> None:
    """BadInput unless there is something to see."""
    if views < 1 or (at_once is not None and at_once < 1):
        raise BadInput(f"{views} views, {at_once} at once: give at least 1 of each")


def shots(
    camera: Camera,
    noise: Noise,
    *,
    step: int,
    purpose: str,
    size: tuple[int, int],
    side: int,
    views: int,
    at_once: int | None,
) -> Iterator[Shot]:
    """`views` views of pictures of this size (h, w), at most `at_once` in one Shot.

    A view is drawn from its sample's noise, the step, the purpose and its own number, so neither
    the batch nor `at_once` changes it.
    """
    drawn = noise.uniform((views, _DRAWN), step=step, purpose=purpose).double()
    aims, colours = _aims(camera, drawn, size, side), _colours(camera, drawn)
    for first in range(0, views, at_once or views):
        part = slice(first, min(first + (at_once or views), views))
        grain = None
        if camera.grain > 0:
            normal = [
                noise.normal((3, side, side), step=step, purpose=f"{purpose}, grain {view}")
                for view in range(part.start, part.stop)
            ]
            amount = camera.grain * drawn[:, part, 16].float()
            grain = torch.stack(normal, 1) * amount[..., None, None, None]
        yield Shot(aims[:, part], colours[:, part], grain, side)


def shots_for(
    sides: Sequence[int],
    pictures: Tensor,
    camera: Camera,
    noise: Noise,
    step: int,
    views: int,
    at_once: int | None,
) -> Iterator[tuple[int, Shot]]:
    """Shots of pictures (b, 3, h, w) for networks that see `sides` pixels, each by its number."""
    for number, side in enumerate(sides):
        for shot in shots(
            camera,
            noise,
            step=step,
            purpose=f"views {number}",
            size=(pictures.shape[2], pictures.shape[3]),
            side=side,
            views=views,
            at_once=at_once,
        ):
            yield number, shot


def _aims(camera: Camera, drawn: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """Uniform numbers (b, n, 17) → homographies (b, n, 3, 3): cut out ∘ turn ∘ tilt ∘ flip."""
    u = drawn.unbind(-1)
    one, none = torch.ones_like(u[0]), torch.zeros_like(u[0])
    height, width = size
    longest = min(height, width)
    shortest = min(longest, side)  # smaller ones would only show larger pixels
    cut = shortest + u[0] ** camera.cut_power * (longest - shortest)
    x, y = cut / 2 + u[1] * (width - cut), cut / 2 + u[2] * (height - cut)
    cut_out = _matrix(cut / 2, none, x, none, cut / 2, y, none, none, one)

    turned = (u[4] < camera.chance).double()
    angle = turned * (2 * u[5] - 1) * math.radians(camera.degrees)
    dx, dy = (2 * camera.shift * turned * (2 * u[i] - 1) for i in (6, 7))
    sin, cos = angle.sin(), angle.cos()
    turn = _matrix(cos, -sin, dx, sin, cos, dy, none, none, one)

    tilted = (u[8] < camera.chance).double()
    p, q = (camera.perspective / 2 * tilted * (2 * u[i] - 1) for i in (9, 10))
    kept = 1 - p.abs() - q.abs()  # the square's farthest corner comes to lie on itself
    tilt = _matrix(kept, none, none, none, kept, none, p, q, one)

    flip = _matrix(1 - 2 * (u[3] < camera.flip).double(), none, none, none, one, *[none] * 3, one)
    return cut_out @ turn @ tilt @ flip


def _matrix(*entries: Tensor) -> Tensor:
    """Nine (b, n) → (b, n, 3, 3)."""
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def _colours(camera: Camera, drawn: Tensor) -> Tensor:
    """Uniform numbers (b, n, 17) → (b, n, 3, 4): contrast ∘ brightness ∘ saturation ∘ hue.

    Hue turns about the axis of greys (Rodrigues' formula), saturation scales away from that axis:
    grey stays grey. Contrast is about middle grey.
    """
    changed = (drawn[..., 11] < camera.chance).double()
    by = camera.jitter * changed[..., None] * (2 * drawn[..., 12:16] - 1)
    bright, contrast, saturation = (1 + by[..., i, None, None] for i in range(3))
    angle = 2 * math.pi * by[..., 3, None, None]
    grey = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / 3**0.5
    rest = angle.cos() * (torch.eye(3, dtype=torch.float64) - grey) + angle.sin() * across
    matrix = contrast * bright * (grey + saturation * rest)
    middle = (0.5 * (1 - contrast)).expand(*matrix.shape[:2], 3, 1)
    return torch.cat([matrix, middle], -1)


def _coloured(views: Tensor, colours: Tensor) -> Tensor:
    """(b, n, 3, side, side). Written out: a batched product may round by the batch's size; and
    channel by channel: the gradient of a channel spread over three is a slow sum."""
    red, green, blue = views.unbind(2)
    rows = colours[..., None, None].unbind(2)
    mixed = [m[:, :, 0] * red + m[:, :, 1] * green + m[:, :, 2] * blue + m[:, :, 3] for m in rows]
    return torch.stack(mixed, 2)


def _resampled(pictures: Tensor, aims: Tensor, side: int) -> Tensor:
    """Pictures (b, 3, h, w) → (b, n, 3, side, side), in one bilinear sampling.

    A view that makes the picture smaller is taken from a picture made smaller beforehand, by the
    power of two nearest to its scale (mip levels, Williams 1983). All levels lie in one sheet.
    """
    height, width = pictures.shape[2:]
    # No view is wider than the shorter side. What the sheet holds must not depend on the batch.
    top = max(0, round(math.log2(min(height, width) / side)))
    sheet, places = _mip_sheet(pictures, top)
    level = _level(aims, side).clamp(0, top)
    place = places[level].to(pictures)[..., None, None]  # (b, n, 3, 1, 1)

    axis = (torch.arange(side).to(pictures) * 2 + 1) / side - 1
    h = aims.flatten(2).to(pictures)[..., None, None].unbind(2)
    u, v = axis, axis[:, None]
    w = h[6] * u + h[7] * v + h[8]
    x = (h[0] * u + h[1] * v + h[2]) / w
    y = (h[3] * u + h[4] * v + h[5]) / w
    level_width, level_height, above = place.unbind(2)
    x = (x * (level_width / width)).clamp(min=0.5).minimum(level_width - 0.5)
    y = (y * (level_height / height)).clamp(min=0.5).minimum(level_height - 0.5) + above
    grid = torch.stack([2 * x / sheet.shape[3] - 1, 2 * y / sheet.shape[2] - 1], -1)
    views = functional.grid_sample(sheet, grid.flatten(1, 2), align_corners=False)
    return views.unflatten(2, (-1, side)).transpose(1, 2)


def _level(aims: Tensor, side: int) -> Tensor:
    """The power of two (b, n) nearest to the picture's pixels per view's pixel, by their areas."""
    corners = aims.new_tensor([[-1, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]])
    x, y, w = (aims @ corners).unbind(2)
    x, y = x / w, y / w
    area = (x * y.roll(-1, -1) - x.roll(-1, -1) * y).sum(-1).abs() / 2  # Gauss's shoelace
    return (area.sqrt() / side).log2().round().long()


def _mip_sheet(pictures: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The picture and its halves, quarters … below each other, and (width, height, y) of each."""
    levels = [pictures]
    for _ in range(top):
        half = tuple(-(-length // 2) for length in levels[-1].shape[2:])
        smaller = functional.interpolate(levels[-1], half, mode="bilinear", antialias=True)
        levels.append(smaller)
    places, y = [], 0
    for level in levels:
        places.append((level.shape[3], level.shape[2], y))
        y += level.shape[2]
    width = pictures.shape[3]
    sheet = torch.cat([functional.pad(each, (0, width - each.shape[3])) for each in levels], 2)
    return sheet, torch.tensor(places)
