"""stylegan: pictures by a StyleGAN2, from z, w, a w for each layer, or the styles themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.models.stylegan import StyleGAN
from limner.noise import Noise

__all__ = ["KINDS", "stylegan"]

KINDS = ("z", "w", "w+", "styles")
_RATE = 0.1  # StyleCLIP's for w+ and styles (Patashnik et al. 2021), the projector's for w

# The projector of Karras et al. 2020, appendix D: the rate's ramps, and noise on w, in deviations
# of w, that falls to nothing at 75% of the steps.
_RISE, _FALL, _W_NOISE, _CALM = 0.05, 0.25, 0.05, 0.75
_SCALES = 3  # at which pictures are compared: whole, half and a fourth of the side


def stylegan(
    model: StyleGAN,
    size: tuple[int, int] | None = None,
    kind: str = "w+",
    *,
    truncation: float = 0.7,
    searched_noise: bool = False,
) -> _Styled:
    """The generator of a StyleGAN2's pictures; size (width, height) is its own, or None.

    kind:            what is searched: z, w, w+ (a w for each layer), or styles (StyleSpace)
    truncation:      ψ of what a search starts from, 0 to 1: the mean face … the net's whole range
    searched_noise:  search the layers' noise, too
    """
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}: give one of {', '.join(KINDS)}")
    if not 0 <= truncation <= 1:
        raise BadInput(f"truncation {truncation}: give a number from 0 to 1")
    side = model.size
    if size is not None and checked(size) != (side, side):
        raise BadInput(f"size {size}: the model {model.name!r} paints {side}x{side} pixels")
    return _Styled(model, kind, truncation, searched_noise)


class _Styled:
    """latent: `z` (b, d), `w` (b, d), `w+` (b, layers, d) or `styles` (b, Σ channels), and `noise`
    (b, Σ pixels of all layers), any values."""

    def __init__(self, model: StyleGAN, kind: str, truncation: float, searched_noise: bool) -> None:
        self.model, self.kind, self.truncation = model, kind, truncation
        self.size = (model.size, model.size)
        self.rates: Mapping[str, float] = {kind: _RATE, "noise": _RATE if searched_noise else 0.0}

    @torch.no_grad()
    def start(self, noise: Noise) -> Latent:
        """Samples, truncated; z, which cannot be, as it is drawn. Row by row, bit for bit."""
        z = noise.normal((self.model.width,), purpose="z")
        drawn = noise.normal((self.model.noise,), purpose="noise")
        if self.kind == "z":
            return {"z": z, "noise": drawn}
        w = [self.model.mapping(row.to(self.model.w_mean)) for row in z.split(1)]
        rows = [self._of_w(self.model.truncated(row, self.truncation)) for row in w]
        return {self.kind: torch.cat(rows).float().cpu(), "noise": drawn}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]."""
        model, given = self.model, latent[self.kind]
        moved, noise = (part.to(model.device, model.dtype) for part in (given, latent["noise"]))
        if self.kind == "styles":
            pictures = model.synthesis_from_styles(moved, noise)
        else:
            w = model.mapping(moved) if self.kind == "z" else moved
            pictures = model.synthesis(w if self.kind == "w+" else model.repeated(w), noise)
        return clamp(pictures.to(given.dtype))

    def constrain(self, latent: Latent) -> Latent:
        """The latent itself: every style has a picture."""
        return latent

    def invert(
        self,
        pictures: Tensor,
        *,
        steps: int = 300,
        perceptual: Callable[[Tensor], list[Tensor]] | None = None,
    ) -> Latent:
        """The latent whose pictures are nearest to these, the last of `inverting`."""
        *_, found = self.inverting(pictures, steps=steps, perceptual=perceptual)
        return found

    def inverting(
        self,
        pictures: Tensor,
        *,
        steps: int = 300,
        perceptual: Callable[[Tensor], list[Tensor]] | None = None,
    ) -> Iterator[Latent]:
        """After each step, a latent whose pictures are nearer to these, (b, 3, h, w) in [0, 1];
        noise is zero.

        The projector of Karras et al. 2020, appendix D, from w̄: Adam, with the rate's ramps and
        noise on the latent in deviations of w. Pictures are compared at three scales.

        steps:       of Adam, 1 or more
        perceptual:  pictures → features (b, n, d) of layers, such as `Clip.hidden_states`: their
                     mean square difference is added, each feature brought to length 1
        """
        if self.kind == "z":
            raise BadInput("a picture has no z: invert it into w, w+ or styles")
        if steps < 1:
            raise BadInput(f"steps {steps}: give at least 1")
        return self._projected(fitting(pictures, self.size).detach(), steps, perceptual)

    def _projected(
        self,
        target: Tensor,
        steps: int,
        perceptual: Callable[[Tensor], list[Tensor]] | None,
    ) -> Iterator[Latent]:
        aims = [state.detach() for state in _states(perceptual, target)]
        mean = self._of_w(self.model.w_mean[None]).float()
        spread = self._of_w(self.model.w_mean[None] + self.model.w_std).float() - mean
        point = mean.repeat(len(target), *[1] * (mean.ndim - 1)).detach().requires_grad_()
        still = torch.zeros(len(target), self.model.noise)
        adam = torch.optim.Adam([point])
        for i in range(steps):
            adam.param_groups[0]["lr"] = _RATE * _ramped(i, steps)
            # one noise for all rows: a picture's outcome is the same alone and in a batch
            wild = Noise(0, [0]).normal(mean.shape[1:], step=i, purpose="invert").to(mean)
            strength = _W_NOISE * max(0.0, 1 - i / (_CALM * steps)) ** 2
            with torch.enable_grad():
                moved = point + strength * spread.abs() * wild
                drawn = self.render({self.kind: moved, "noise": still})
                loss = _apart(drawn, target)
                for state, aim in zip(_states(perceptual, drawn), aims):
                    loss = loss + (state - aim).square().sum(-1).mean(1).sum()
                (point.grad,) = torch.autograd.grad(loss, [point])
            adam.step()
            yield {self.kind: point.detach().cpu().clone(), "noise": still}

    def _of_w(self, w: Tensor) -> Tensor:
        """w (b, d) as this kind of latent has it."""
        if self.kind == "w":
            return w
        w_plus = self.model.repeated(w)
        return w_plus.clone() if self.kind == "w+" else self.model.styles(w_plus).detach()


def _apart(drawn: Tensor, target: Tensor) -> Tensor:
    """The rows' mean square differences, summed over rows and scales."""
    total = drawn.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            drawn, target = functional.avg_pool2d(drawn, 2), functional.avg_pool2d(target, 2)
        total = total + (drawn - target).square().flatten(1).mean(1).sum()
    return total


def _states(perceptual: Callable[[Tensor], list[Tensor]] | None, pictures: Tensor) -> list[Tensor]:
    """Features (b, n, d) of length 1, of each layer."""
    states = perceptual(pictures) if perceptual else []
    return [functional.normalize(state, dim=-1) for state in states]


def _ramped(i: int, steps: int) -> float:
    """The rate's factor in step i: up linearly, down as a cosine."""
    up = min(1.0, (i + 1) / (_RISE * steps))
    left = min(1.0, (1 - i / steps) / _FALL)
    return up * (0.5 - 0.5 * math.cos(math.pi * left))
