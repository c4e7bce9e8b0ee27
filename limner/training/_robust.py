"""What makes a CLIP a judge that no search cheats cheaply: it learns on a search's own views, each
moved to where the towers are most wrong about it.

The inner step of adversarial training (Madry et al. 2018, "Towards Deep Learning Models Resistant
to Adversarial Attacks", section 2.1): what is learned on such pictures is not undone by a little
noise. The gradient of such a network with respect to a picture then draws things (Engstrom et al.
2019, "Adversarial Robustness as a Prior for Learned Representations"), of CLIP's, too (Ganz and
Elad 2024, "CLIPAG").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.judges._views import Camera, shots
from limner.noise import Noise
from limner.training._towers import Towers

__all__ = ["Robust", "attack", "own_text", "views_of"]

_REACH = 2.5  # all steps of an attack together, in radii, so that it can turn (Madry, section 5)


@dataclass(frozen=True)
class Robust:
    """radius: L2, that a picture (3, s, s) in [0, 1] is moved by once the training has grown it.
    steps: of each attack. growth: steps of the training in which the radius grows from nothing."""

    radius: float
    steps: int = 2
    growth: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.radius < float("inf"):
            raise BadInput(f"robust {self.radius}: give a length of more than 0, such as 2; or 0")
        if self.steps < 1:
            raise BadInput(f"robust_steps {self.steps}: give at least 1")

    def radius_at(self, step: int) -> float:
        return self.radius * min(1.0, (step + 1) / max(1, self.growth))

    @staticmethod
    def clean(size: int) -> int:
        """How many of a batch stay whole and unmoved: one in four, so that the towers go on to
        know what a picture looks like that nobody has touched."""
        return size // 4

    def attacked(
        self, towers: Towers, pictures: Tensor, ids: Tensor, std: Tensor, step: int, at_once: int
    ) -> Tensor:
        """A batch's normalised pictures (b, 3, s, s), all but the first, clean ones moved away from
        their own texts (b, n). std (3, 1, 1): what the pictures were divided by.

        The towers are as a search will have them: in evaluation mode a row depends on itself alone.
        """
        towers.eval()
        clean = self.clean(len(pictures))
        views, own = pictures[clean:], torch.arange(clean, len(pictures), device=pictures.device)
        with torch.no_grad():
            texts = torch.cat([towers.read(part) for part in ids.split(at_once)])
            scale = towers.scale()
        torch.clear_autocast_cache()  # casts of weights that it may have kept have no graph

        def losses(movement: Tensor, rows: slice) -> Tensor:
            return own_text(towers.see(views[rows] + movement / std), texts, scale, own[rows])

        radius = self.radius_at(step)
        moved = attack(losses, views, radius=radius, steps=self.steps, at_once=at_once)
        towers.train()
        return torch.cat([pictures[:clean], views + moved / std])


def views_of(pictures: Tensor, side: int, noise: Noise, step: int) -> Tensor:
    """One view of each picture (b, 3, h, w) in [0, 1], as the judges' camera draws it for a search:
    (b, 3, side, side), a little outside [0, 1] where colours change or grain is added."""
    size = (pictures.shape[2], pictures.shape[3])
    (shot,) = shots(
        Camera(), noise, step=step, purpose="robust", size=size, side=side, views=1, at_once=None
    )
    return shot(pictures)


def attack(
    losses: Callable[[Tensor, slice], Tensor],
    pictures: Tensor,
    *,
    radius: float,
    steps: int,
    at_once: int,
) -> Tensor:
    """Projected gradient ascent: how to move pictures (b, c, h, w), each by at most radius in L2.

    losses: movement (m, c, h, w), and which rows it is of → (m,), each its own row's alone. Nothing
    but the movement is given a gradient. Of the pictures only shape, type and place matter.

    It begins at no movement: noise of this length in random directions does next to nothing, and
    the views have more of it already.
    """
    parts = []
    for first in range(0, len(pictures), at_once):
        rows = slice(first, first + at_once)
        moved = torch.zeros_like(pictures[rows])
        for _ in range(steps):
            moved.requires_grad_()
            (uphill,) = torch.autograd.grad(losses(moved, rows).sum(), moved)
            moved = moved.detach() + _REACH / steps * radius * uphill / _lengths(uphill)
            moved = moved * (radius / _lengths(moved)).clamp(max=1)
        parts.append(moved)
    return torch.cat(parts)


def _lengths(movement: Tensor) -> Tensor:
    """L2 of each row (b, 1, 1, 1), never zero."""
    return movement.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


def own_text(pictures: Tensor, texts: Tensor, scale: Tensor, own: Tensor) -> Tensor:
    """Each picture's own half of InfoNCE (n,): −log softmax over all texts, at its own.

    pictures: (n, d) of length 1. texts: (N, d) of length 1, of which own (n,) are the numbers.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        return functional.cross_entropy(scale * pictures @ texts.T, own, reduction="none")
