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
from limner.prompt import TEMPLATES, Phrase, fill
from limner.tasks._editing import Order, Report, Usual, led
from limner.tasks._region import region

__all__ = ["USUAL", "edit"]

USUAL = Usual(steps=150, strength=0.5, views=8, has_source=True)

# The paper's weights for images (its supplement, table of hyper-parameters).
_STRUCTURE, _SPARSITY, _L1, _L0, _BOOTSTRAP = 2.0, 6.0, 0.01, 0.01, 10.0
# The network's weights move at three times their usual rates: it has far to go from the picture.
# α does not: faster than .01, and the region that it begins with is soon lost in grain.
_RATE, _ALPHA_RATE = 3.0, 0.01
# Views of 80 to 100% of the picture, as the paper's crops, and otherwise the usual ones.
_CAMERA = Camera(cut_power=0.3)


def edit(order: Order, report: Report) -> Tensor:
    """Composition 1, screen 1, structure 2, sparsity 6, and opacity like the region of what is
    edited 10, annealed to 0; structure and sparsity times 2·(1 − strength)."""
    picture, mask = order.fitted()
    source = order.source or shown(order, picture)
    where = region(order.patched, picture, source)
    size = (picture.shape[3], picture.shape[2])
    base = PriorNetwork(size, picture)
    confined = Layer(picture, base, mask=mask, alpha_rate=_ALPHA_RATE / _RATE).alone()
    whole = Layer(picture, base)
    start = confined.start(order.noise) | {"alpha": where}
    judge = _judge(replace(order, source=source), picture, where)
    latent = start
    for step, latent in enumerate(led(order, confined, judge, start, _RATE), 1):
        report(step, lambda latent=latent: whole.rgba(latent))  # type: ignore[misc]
    with torch.no_grad():
        return whole.rgba(latent)


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
        ]
    )
