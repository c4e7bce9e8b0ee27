"""A soft rasteriser of strokes: round pens along smooth paths, laid over white one after another.

It works tile by tile on the strokes that reach the tile and recomputes a tile for its gradient, so
that its memory is that of the picture and of one tile.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["on_curves", "painted"]

_PIECES = 16  # straight ones to a cubic: an arc as long as a picture of 224 stays within .2 pixels
_TILE = 32  # pixels of a side
_AT_ONCE = 16  # strokes searched in one piece
_SOFT = 0.75  # pixels from a stroke's edge to where its cover is 0 or 1


def on_curves(points: Tensor) -> Tensor:
    """Control points (…, 3s + 1, 2) of s cubics, end to end → points on them (…, 16s + 1, 2).

    Σ B(3, i)(t)·p_i with Bernstein's polynomials (Bézier curves).
    """
    segments = (points.shape[-2] - 1) // 3
    basis = torch.zeros(_PIECES * segments + 1, 3 * segments + 1, dtype=torch.float64)
    t = torch.arange(_PIECES + 1, dtype=torch.float64) / _PIECES
    cubic = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
    for s in range(segments):
        basis[_PIECES * s : _PIECES * (s + 1) + 1, 3 * s : 3 * s + 4] = cubic
    return basis.to(points) @ points


def painted(paths: Tensor, radii: Tensor, colours: Tensor, size: tuple[int, int]) -> Tensor:
    """One picture (3, h, w) of size (w, h), white where no stroke is.

    paths (n, m, 2) are the strokes' polylines (x, y) and radii (n,) half their widths, in pixels;
    colours (n, 4) are RGB and opacity in [0, 1]. The last stroke is on top.
    """
    width, height = size
    reach = radii.detach()[:, None] + _SOFT
    low, high = paths.detach().amin(1) - reach, paths.detach().amax(1) + reach
    rows = []
    for top in range(0, height, _TILE):
        row = []
        for left in range(0, width, _TILE):
            x, y = min(_TILE, width - left), min(_TILE, height - top)
            end = low.new_tensor([left + x, top + y])
            near = ((high > low.new_tensor([left, top])) & (low < end)).all(1).nonzero()[:, 0]
            strokes = (paths[near], radii[near], colours[near])
            place = (left, top, x, y)
            tile = checkpoint(_tile, *strokes, place, use_reentrant=False, preserve_rng_state=False)
            row.append(tile)
        rows.append(torch.cat(row, 2))
    return torch.cat(rows, 1)


def _tile(
    paths: Tensor, radii: Tensor, colours: Tensor, place: tuple[int, int, int, int]
) -> Tensor:
    """The picture (3, y, x) at place (left, top, x, y)."""
    left, top, x, y = place
    grid = torch.meshgrid(torch.arange(x), torch.arange(y), indexing="xy")
    centres = torch.stack(grid, 2).flatten(0, 1).to(paths) + paths.new_tensor([left, top]) + 0.5
    tile = paths.new_ones(3, x * y)
    parts = (part.split(_AT_ONCE) for part in (paths, radii, colours))
    for path, radius, colour in zip(*parts):
        away = centres - _nearest(path, centres)
        # The square root has no slope at 0, where only the very thinnest strokes would ask for it.
        distance = (away.square().sum(2) + 1e-8).sqrt()
        # What a strip's two edges leave, so that one thinner than a pixel is the fainter for it.
        cover = _edge(radius[:, None] - distance) + _edge(radius[:, None] + distance) - 1
        opacity = colour[:, 3:] * cover
        for over, alpha in zip(colour[:, :3, None], opacity):
            tile = tile + alpha * (over - tile)
    return tile.unflatten(1, (y, x))


def _nearest(paths: Tensor, places: Tensor) -> Tensor:
    """The points (n, p, 2) of polylines (n, m, 2) that are nearest to places (p, 2).

    Which piece, and how far along it, is held fixed for the gradient: at the nearest point the
    distance does not change with either (Danskin 1967).
    """
    with torch.no_grad():
        start, along = paths[:, :-1, None], paths.diff(dim=1)[:, :, None]  # (n, m - 1, 1, 2)
        away = places - start
        length = along.square().sum(3).clamp(min=1e-12)  # of a piece that is a point: not 0
        t = ((away * along).sum(3) / length).clamp(0, 1)
        distance = (away - t[..., None] * along).square().sum(3)
        piece = distance.argmin(1, keepdim=True)  # (n, 1, p)
        t = t.gather(1, piece)[:, 0, :, None]
        piece = piece[:, 0, :, None].expand(-1, -1, 2)
    return paths.gather(1, piece) * (1 - t) + paths.gather(1, piece + 1) * t


def _edge(inside: Tensor) -> Tensor:
    """How much of a pixel is covered whose centre is `inside` pixels within a straight edge.

    A cubic from 0 to 1 that is as steep at the edge as the area of an upright pixel, but smooth.
    """
    t = (inside / (2 * _SOFT) + 0.5).clamp(0, 1)
    return t * t * (3 - 2 * t)
