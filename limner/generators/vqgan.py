"""vqgan: pictures by the codes of a VQGAN, one for each 8x8 pixels or so."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.generators import Generator, Latent
from limner.generators._clamp import clamp
from limner.generators._size import checked, fitting
from limner.generators._smooth import smooth_noise
from limner.models.vqgan import Vqgan
from limner.noise import Noise

__all__ = ["KINDS", "vqgan"]

KINDS = ("z", "logits")


def vqgan(model: Vqgan, size: tuple[int, int] | None = None, kind: str = "z") -> Generator:
    """The generator of a VQGAN's pictures of size (width, height); None: as it was trained.

    kind: z searches z itself (rate .1, as the VQGAN+CLIP scripts of Crowson et al. 2022 have it
          with Adam), logits one number for each code at each place (.05, as they have with AdamW)
    """
    if kind not in KINDS:
        raise BadInput(f"kind {kind!r}: give {' or '.join(KINDS)}")
    size = checked(size or (model.size, model.size))
    if any(side % model.downscale for side in size):
        raise BadInput(
            f"size {size}: the model {model.name!r} needs multiples of {model.downscale}"
        )
    return _Z(model, size) if kind == "z" else _Logits(model, size)


class _Z:
    """latent: `z` (b, d, h/f, w/f), each channel within the codebook's least and greatest."""

    def __init__(self, model: Vqgan, size: tuple[int, int]) -> None:
        self.model, self.size = model, size
        self.rates: Mapping[str, float] = {"z": 0.1}

    def start(self, noise: Noise) -> Latent:
        """Codes whose neighbours go together: see `_begun`."""
        return {"z": _begun(self.model, self.size, noise)}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], of the nearest codes.

        The gradient passes z as if it were its code (van den Oord et al. 2017, section 3.2).
        """
        z = latent["z"]
        code, _ = self.model.quantise(z)
        return clamp(self.model.decode(z + (code - z).detach()))

    def constrain(self, latent: Latent) -> Latent:
        """Each channel brought between the codebook's least and greatest, or z could go far from
        every code, where its steps no longer change which is the nearest."""
        z, codes = latent["z"], self.model.codebook
        low, high = (bound[:, None, None].to(z) for bound in codes.aminmax(dim=0))
        return {"z": z.clamp(low, high)}

    def invert(self, pictures: Tensor) -> Latent:
        """z of pictures (b, 3, h, w) in [0, 1]: as near as the autoencoder is."""
        return self.constrain({"z": self.model.encode(fitting(pictures, self.size))})


class _Logits:
    """latent: `logits` (b, n, h/f, w/f), one for each of the codes, any values."""

    def __init__(self, model: Vqgan, size: tuple[int, int]) -> None:
        self.model, self.size = model, size
        self.rates: Mapping[str, float] = {"logits": 0.05}
        apart = torch.cdist(model.codebook, model.codebook).fill_diagonal_(torch.inf)
        self._variance = max(float(apart.amin(1).square().mean()), 1e-12)

    def start(self, noise: Noise) -> Latent:
        """Of codes whose neighbours go together: see `_begun`."""
        return {"logits": self._of(_begun(self.model, self.size, noise))}

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], of each place's likeliest code.

        The gradient is that of the codes' mean under the softmax (straight-through: Bengio et al.
        2013). The likeliest, where the scripts draw one: the same latent is always one picture.
        """
        logits = latent["logits"]
        model, codes = self.model, self.model.codebook.to(logits)
        mean = torch.einsum("bnhw,nd->bdhw", logits.softmax(1), codes)
        code = model.looked_up(logits.argmax(1)).to(logits)
        return clamp(model.decode(mean + (code - mean).detach()))

    def constrain(self, latent: Latent) -> Latent:
        """The latent itself: whatever its logits, one of the codes is the likeliest."""
        return latent

    def invert(self, pictures: Tensor) -> Latent:
        """The logits of pictures (b, 3, h, w) in [0, 1]: as near as the autoencoder is."""
        return {"logits": self._of(self.model.encode(fitting(pictures, self.size)))}

    def _of(self, z: Tensor) -> Tensor:
        """Logits whose likeliest code is the nearest, and the likelier the nearer: those of normal
        noise around the codes, as wide as from one code to its next."""
        codes = self.model.codebook.float().to(z.device)
        away = [torch.cdist(row.flatten(1).T, codes).square() for row in z]
        return (torch.stack(away).mT / (-2 * self._variance)).unflatten(2, z.shape[2:])


def _begun(model: Vqgan, size: tuple[int, int], noise: Noise) -> Tensor:
    """Smooth noise of the codes' mean and covariance, brought to the nearest: (b, d, h/f, w/f).

    Codes drawn place by place decode to a patchwork that no picture looks like, which a search
    leaves slowly; `_smooth.py` has the smoothness of real latents.
    """
    width, height = (side // model.downscale for side in size)
    codes = model.codebook.float()
    spread, turn = torch.linalg.eigh(codes.T.cov(correction=0).reshape(codes.shape[1], -1))
    root = turn * spread.clamp(min=0).sqrt() @ turn.T  # symmetric: no sign is left to chance
    drawn = smooth_noise(noise, codes.shape[1], (width, height)).to(codes.device)
    mixed = [root @ row.flatten(1) + codes.mean(0)[:, None] for row in drawn]  # bit for bit as one
    return model.quantise(torch.stack(mixed).view_as(drawn))[0].cpu()
