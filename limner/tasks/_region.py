"""Where in a picture is what a phrase names: CLIP's relevancy, brought to the picture's own edges.

CLIP knows what is there, a patch at a time; colours know where it ends. As in GrabCut (Rother et
al. 2004) two mixtures of Gaussians, of the object's and of the rest's colours and places, and the
region they say, are fitted in turns; instead of its minimal cut a guided filter (He et al. 2010)
makes the odds follow the edges.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from limner.models.clip import Clip

__all__ = ["region"]

_SHIFTS = 4  # along each axis: the picture is seen moved by quarters of a patch
_TURNS, _STEPS, _KINDS = 4, 8, 5  # of fitting; of EM in each; Gaussians, as in GrabCut
_PLACE = 0.5  # what half the picture's width counts beside a colour from 0 to 1
_RADIUS, _FLAT = 4, 1e-3  # of the guided filter: pixels, and the variance below which it smooths
_PRIOR, _MOST = 0.5, 8.0  # the relevancy's share in the log odds; their limit


@torch.no_grad()
def region(clip: Clip, picture: Tensor, phrase: str) -> Tensor:
    """Picture (1, 3, h, w) in [0, 1] → (1, 1, h, w) in [0, 1]: 1 on what the phrase names.

    clip: one whose tower is a ViT
    """
    share = _relevancy(clip, picture, clip.embed_texts([phrase])[0])
    return _cut_out(picture[0], share / share.max())[None, None]


def _relevancy(clip: Clip, picture: Tensor, wanted: Tensor) -> Tensor:
    """(1, 3, h, w) → (h, w): the mean of the relevancies of shifted squares about the picture."""
    height, width = picture.shape[2:]
    side = max(height, width)
    patches = clip.relevancy(picture, wanted).shape[1]
    margin = math.ceil(side / patches)
    top, left = margin + (side - height) // 2, margin + (side - width) // 2
    whole = side + 2 * margin
    edges = (left, whole - width - left, top, whole - height - top)
    canvas = functional.pad(picture, edges, mode="replicate")
    steps = [round((i / _SHIFTS - 0.5) * side / patches) for i in range(_SHIFTS)]
    corners = [(margin + down, margin + across) for down in steps for across in steps]
    windows = [canvas[:, :, y : y + side, x : x + side] for y, x in corners]
    relevant = clip.relevancy(torch.cat(windows), wanted)[:, None]
    relevant = relevant / relevant.sum((1, 2, 3), keepdim=True)
    relevant = functional.interpolate(relevant, size=(side, side), mode="bilinear")
    total, seen = torch.zeros(whole, whole), torch.zeros(whole, whole)
    for (y, x), each in zip(corners, relevant[:, 0]):
        total[y : y + side, x : x + side] += each
        seen[y : y + side, x : x + side] += 1
    mean = total / seen.clamp(min=1)
    return mean[top : top + height, left : left + width]


def _cut_out(picture: Tensor, share: Tensor) -> Tensor:
    """Picture (3, h, w), a first guess (h, w) in [0, 1] → the region (h, w) in [0, 1]."""
    height, width = share.shape
    ends = ((_PLACE * size / max(height, width), size) for size in (height, width))
    down, across = (torch.linspace(-end, end, size) for end, size in ends)
    y, x = torch.meshgrid(down, across, indexing="ij")
    seen = torch.cat([picture, y[None], x[None]]).flatten(1).T
    prior = _PRIOR * share.clamp(0.02, 0.98).logit()
    inside = share
    for _ in range(_TURNS):
        # Squared, so that what is half inside tells little of either side.
        odds = _log_density(seen, inside.flatten() ** 2)
        odds = odds - _log_density(seen, (1 - inside).flatten() ** 2)
        odds = (odds.reshape(height, width) + prior).clamp(-_MOST, _MOST)
        inside = _guided(picture, odds).sigmoid()
    return inside


def _log_density(x: Tensor, weight: Tensor) -> Tensor:
    """x (n, d) under a mixture of Gaussians fitted to it by EM, each point counting by its weight.

    The first means are far apart: each the point farthest from those before it, by its weight.
    """
    means = [(x * weight[:, None]).sum(0) / weight.sum()]
    far = (x - means[0]).square().sum(1)
    while len(means) < _KINDS:
        means.append(x[(far * weight).argmax()])
        far = far.minimum((x - means[-1]).square().sum(1))
    belongs = functional.one_hot(torch.cdist(x, torch.stack(means)).argmin(1), _KINDS).to(x)
    log = x
    for _ in range(_STEPS):
        log = _log_parts(x, belongs * weight[:, None])
        belongs = log.softmax(1)
    return log.logsumexp(1)


def _log_parts(x: Tensor, counts: Tensor) -> Tensor:
    """x (n, d), how much of each point is of each Gaussian (n, k) → log(share · density) (n, k)."""
    n = counts.sum(0) + 1e-3 * counts.sum() / counts.shape[1]
    apart = x[:, None] - (counts.T @ x / n[:, None])
    spread = torch.einsum("nk,nki,nkj->kij", counts, apart, apart) / n[:, None, None]
    root = torch.linalg.cholesky(spread + 1e-3 * torch.eye(x.shape[1]))
    scaled = torch.einsum("kij,nkj->nki", torch.linalg.inv(root), apart)
    volume = root.diagonal(dim1=1, dim2=2).log().sum(1)
    return (n / n.sum()).log() - volume - scaled.square().sum(2) / 2


def _guided(picture: Tensor, values: Tensor) -> Tensor:
    """values (h, w), each the local affine function of the colours that fits them best (eqs. 19 to
    21 of He et al. 2010)."""
    seen, wanted = picture[None], values[None, None]
    mean, middle = _near(seen), _near(wanted)
    squares = _near((seen[:, :, None] * seen[:, None]).flatten(1, 2)).unflatten(1, (3, 3))
    spread = (squares - mean[:, :, None] * mean[:, None])[0].permute(2, 3, 0, 1)
    along = (_near(seen * wanted) - mean * middle)[0].permute(1, 2, 0)
    slope = torch.linalg.solve(spread + _FLAT * torch.eye(3), along[..., None])[..., 0]
    slope = slope.permute(2, 0, 1)[None]
    offset = middle - (slope * mean).sum(1, keepdim=True)
    return ((_near(slope) * seen).sum(1) + _near(offset)[:, 0])[0]


def _near(x: Tensor) -> Tensor:
    """The mean over the square about each pixel, the edges going on."""
    around = functional.pad(x, (_RADIUS,) * 4, mode="replicate")
    return functional.avg_pool2d(around, 2 * _RADIUS + 1, 1)
