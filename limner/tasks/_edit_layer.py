"""layer: an edit in a layer of its own over the picture (Bar-Tal et al. 2022, "Text2LIVE").

A network reads the picture and paints the layer; the layer begins as the picture itself, opaque on
what the words are about.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from limner.generators.layer import Layer
from limner.generators.prior_network import PriorNetwork
from limner.judges import Judge
from limner.judges._views import Camera
from limner.judges.annealed import Annealed
from limner.judges.clip import Clip
from limner.judges.direction import Direction
from limner.judges.likeness import Likeness
from limner.judges.opacity import Opacity
from limner.judges.over import Over
from limner.judges.screen import Screen
from limner.judges.sparsity import Sparsity
from limner.judges.structure import Structure
from limner.judges.weighted import Weighted
from limner.picture import resize
from limner.prompt import TEMPLATES, Phrase, fill
from limner.tasks._editing import NEAR, Order, Report, Usual, led
from limner.tasks._region import region
from limner.tasks._window import Box, around, pixels_of

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=150, strength=0.5, views=8, has_source=True)

# The paper's weights for images (its supplement, table of hyper-parameters).
_STRUCTURE, _SPARSITY, _L1, _L0, _BOOTSTRAP = 2.0, 6.0, 0.01, 0.01, 10.0
# The paper leaves nothing of the bootstrap in the end: its region is as coarse as CLIP's patches.
# Ours follows the picture's edges, so it is held to, or opacity leaks out: on the first five scenes
# of `limner measure materials` the mean change outside is .011 at 5, .006 at 20.
_HELD = 20.0
# The network's weights move at three times their usual rates: it has far to go from the picture.
# α does not: faster than .01, and the region that it begins with is soon lost in grain.
_RATE, _ALPHA_RATE = 3.0, 0.01
# Views of 80 to 100% of the picture, as the paper's crops, and otherwise the usual ones.
_CAMERA = Camera(cut_power=0.3)

_LEAST = 128  # pixels a side of what is searched


def edit(order: Order, report: Report) -> Tensor:
    """Composition 1, screen 1, structure 2, sparsity 6, and opacity like the region of what is
    edited 10, annealed to 0, and 20 to the end; structure, sparsity and that 20 times
    2·(1 − strength)."""
    whole, whole_mask = order.fitted()
    source = order.source or shown(order, whole)
    where = region(order.patched, whole, source)
    box = around(where) if whole_mask is None else around(where * whole_mask, whole_mask)
    near = replace(order, picture=_cut(order.picture, box), source=source)
    if order.mask is not None:
        near = replace(near, mask=_cut(order.mask, box))
    picture, mask = near.fitted(_side(near.picture), enlarge=True)
    size = (picture.shape[3], picture.shape[2])
    where = resize(_cut(where, box), size[::-1])
    base = PriorNetwork(size, picture)
    confined = Layer(picture, base, mask=mask, alpha_rate=_ALPHA_RATE / _RATE).alone()
    seen = Layer(picture, base)
    start = confined.start(order.noise) | {"alpha": where}
    judge = _judge(near, picture, where)
    latent = start
    for step, latent in enumerate(led(order, confined, judge, start, _RATE), 1):
        report(step, lambda latent=latent: _back(seen.rgba(latent), order.picture, box))  # type: ignore[misc]
    with torch.no_grad():
        return _back(seen.rgba(latent), order.picture, box)


def _cut(picture: Tensor, box: Box) -> Tensor:
    """(1, c, h, w) → what is in the box."""
    rows, columns = pixels_of(box, (picture.shape[2], picture.shape[3]))
    return picture[:, :, rows, columns]


def _back(layer: Tensor, picture: Tensor, box: Box) -> Tensor:
    """A layer of the box → one of the picture, transparent elsewhere."""
    rows, columns = pixels_of(box, (picture.shape[2], picture.shape[3]))
    full = layer.new_zeros(1, 4, *picture.shape[2:])
    size = (rows.stop - rows.start, columns.stop - columns.start)
    full[:, :, rows, columns] = resize(layer, size)
    return full


def _side(picture: Tensor) -> int:
    """Of a square of the area that is searched: a small cutting is enlarged, a large made small."""
    height, width = picture.shape[2:]
    return round(min(max((height * width) ** 0.5, _LEAST), NEAR))


def shown(order: Order, picture: Tensor) -> str:
    """What is there now: the text without those words, next to each other, without which CLIP finds
    it likest to the picture ("a cat made of ice" → "a cat"); "a picture" of a single word."""
    words = order.text.split()
    count = len(words)
    cuts = [(i, j) for i in range(count) for j in range(i + 1, count + 1) if j - i < count]
    left = list(dict.fromkeys(" ".join(words[:i] + words[j:]) for i, j in cuts)) or ["a picture"]
    likeness = order.patched.embed_texts(left) @ order.patched.embed_pictures(picture)[0]
    return left[int(likeness.argmax())]


def _judge(order: Order, picture: Tensor, where: Tensor) -> Judge:
    clips, views, text, source = order.clips, order.views, order.text, order.source or ""
    sentences = [Phrase(sentence) for sentence in fill(TEMPLATES, text)]
    spherical = Clip(clips, sentences, views=views, camera=_CAMERA)
    direction = Direction(clips, picture, source, text, views=views, camera=_CAMERA)
    sparsity = Sparsity(torch.zeros_like(picture), _L1, _L0)
    bootstrap = Likeness(where.expand(-1, 3, -1, -1))
    kept = 2 * (1 - order.strength)
    return Weighted(
        [
            (Over(spherical, picture), 1.0),
            (Over(direction, picture), 1.0),
            (Screen(clips, text, views, camera=_CAMERA), 1.0),
            (Over(Structure(order.patched, picture), picture), _STRUCTURE * kept),
            (Opacity(sparsity), _SPARSITY * kept),
            (Annealed(Opacity(bootstrap), order.steps), _BOOTSTRAP),
            (Opacity(bootstrap), _HELD * kept),
        ]
    )
