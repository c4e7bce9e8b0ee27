"""biggan: pictures by a BigGAN whose layers have each its own noise and classes (Big Sleep)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked
from limner.models.biggan import BigGAN
from limner.noise import Noise

__all__ = ["KINDS", "biggan"]

KINDS = ("sigmoid", "softmax")
_RATE = 0.07  # Big Sleep's (Murdock 2021), of both parts, with Adam
_MEAN, _DEVIATION = -3.9, 0.3  # of the logits at first: Big Sleep's
_FURTHEST = 2.0  # of a layer's noise: BigGAN's threshold of truncation (section 3.1)
_SHARPEST = 10.0  # of logits: beyond it classes are as good as settled, and would never come back
_SLACK = 1e-5  # by which rounding may miss a bound


def biggan(
    model: BigGAN,
    size: tuple[int, int] | None = None,
    kind: str = "sigmoid",
    *,
    truncation: float = 1.0,
) -> _Conditioned:
    """The generator of a BigGAN's pictures; size (width, height) is its own, or None.

    kind:        how logits say the classes: sigmoid, each by itself, as Big Sleep has it; or
                 softmax, shares of one, as the net was trained
    truncation:  how far noise goes, above 0 to 1, the net's whole range; less: safer, more alike
    """
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}: give {' or '.join(KINDS)}")
    side = model.size
    if size is not None and checked(size) != (side, side):
        raise BadInput(f"size {size}: the model {model.name!r} paints {side}x{side} pixels")
    return _Conditioned(model.truncated(truncation), kind)


class _Conditioned:
    """latent: `noise` (b, layers, n) and `logits` (b, layers, k) of the classes, within what
    `constrain` leaves as it is."""

    def __init__(self, model: BigGAN, kind: str) -> None:
        self.model, self.kind = model, kind
        self.size = (model.size, model.size)
        self.rates: Mapping[str, float] = {"noise": _RATE, "logits": _RATE}

    def start(self, noise: Noise) -> Latent:
        """Standard normal noise, no class more than another."""
        layers, classes = self.model.layers, len(self.model.classes)
        drawn = noise.normal((layers, self.model.noise), purpose="noise") * self.model.truncation
        logits = _MEAN + _DEVIATION * noise.normal((layers, classes), purpose="logits")
        return self.constrain({"noise": drawn, "logits": logits})

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1]."""
        model, given = self.model, latent["noise"]
        noise, logits = (latent[part].to(model.device, model.dtype) for part in ("noise", "logits"))
        classes = logits.sigmoid() if self.kind == "sigmoid" else logits.softmax(2)
        return clamp(model.pictures(noise, classes).to(given.dtype))

    def constrain(self, latent: Latent) -> Latent:
        """Noise that the net knows: each number within two deviations, and no layer's root mean
        square more than two deviations above that of a sample, both times the truncation; logits
        from -10 to 10.

        Big Sleep leads moments (mean, deviation, skew, kurtosis) and classes by losses on the
        latent, which no judge sees here: bounds hold the first two, and less strictly; softmax
        has few classes at once by itself.
        """
        furthest = _FURTHEST * self.model.truncation
        noise = latent["noise"].clamp(-furthest, furthest)
        # the root mean square of n normal numbers: about 1, with a deviation of 1/√(2n)
        most = (1 + 2 / (2 * self.model.noise) ** 0.5) * self.model.truncation
        root = noise.square().mean(2, keepdim=True).sqrt()
        noise = torch.where(root > most * (1 + _SLACK), noise * (most / root), noise)
        return {"noise": noise, "logits": latent["logits"].clamp(-_SHARPEST, _SHARPEST)}
