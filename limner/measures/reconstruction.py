"""What an autoencoder loses: PSNR and SSIM of the world's unseen scenes after encode and decode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from limner.errors import BadInput
from limner.measures import Watch, batches
from limner.measures._share import checked
from limner.models._text_to_image import TextToImage
from limner.models.vqgan import Vqgan, is_vqgan, open_vqgan
from limner.picture import psnr, resize
from limner.worlds.scenes import World

__all__ = ["Reconstruction", "reconstruction", "ssim"]

_AT_ONCE = 16


@dataclass(frozen=True)
class Reconstruction:
    """Means over n pictures; psnr in decibels, with its standard error and the worst picture's.

    codebook_use: the share of a VQGAN's codes that the pictures have; None where there are none
    """

    psnr: float
    standard_error: float
    worst: float
    ssim: float
    n: int
    model: str
    codebook_use: float | None = None


def reconstruction(
    model: str | Path | TextToImage | Vqgan = "embedded",
    *,
    count: int = 256,
    seed: int = 1,
    vocabulary: str = "core",
    watch: Watch | None = None,
) -> Reconstruction:
    """Encodes and decodes held-out scenes with the model's autoencoder, in float32.

    Args:
        model: "embedded", "vqgan" (limner's own VQGAN), a folder in diffusers' layout (Stable
            Diffusion's, or a VQModel's), Stable Diffusion's hub id, or what open_model or
            open_vqgan gave
        count: how many pictures
        seed: of the world; training's is 0
        vocabulary: core or full
        watch: called with the pictures done and their number

    Raises BadInput when the model cannot be opened.
    """
    checked("count", count, 1, 1_000_000)
    opened = _opened(model)
    world = World(seed, vocabulary=vocabulary, split="held_out")
    ratios, likeness, codes = [], [], set[int]()
    for some in batches(0, count, _AT_ONCE):
        drawn = torch.from_numpy(world.draw(some).pictures).permute(0, 3, 1, 2) / 255
        pictures = resize(drawn, (opened.size, opened.size))
        latents = opened.encode(pictures)
        if isinstance(opened, Vqgan):
            latents, index = opened.quantise(latents)
            codes.update(index.unique().tolist())
        again = opened.decode(latents).cpu().clamp(0, 1)
        ratios += [psnr(a, b) for a, b in zip(pictures, again)]
        likeness += ssim(pictures, again).tolist()
        if watch is not None:
            watch(some[-1] + 1, count)
    values = torch.tensor(ratios)
    error = float(values.std(correction=min(1, count - 1))) / count**0.5
    mean = sum(likeness) / count
    use = len(codes) / len(opened.codebook) if isinstance(opened, Vqgan) else None
    return Reconstruction(float(values.mean()), error, min(ratios), mean, count, opened.name, use)


def _opened(model: str | Path | TextToImage | Vqgan) -> TextToImage | Vqgan:
    """In float32, on the GPU if there is one."""
    from limner.models._open import open_model, placed

    if model == "vqgan":
        model = open_vqgan()
    elif isinstance(model, (str, Path)):
        model = open_vqgan(model) if is_vqgan(model) else open_model(model)
    if isinstance(model, Vqgan):
        return model.to("cuda" if torch.cuda.is_available() else "cpu")
    return placed(model, "float32")


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, eq. 13) of pictures (b, c, h, w) in [0, 1]: (b,).

    With the paper's Gaussian window of 11 pixels, σ = 1.5, its constants K₁ = .01 and K₂ = .03, and
    the mean taken where the window lies within the picture; colours are averaged.
    """
    if a.shape != b.shape or min(a.shape[-2:]) < 11:
        raise BadInput(f"cannot compare {tuple(a.shape)} with {tuple(b.shape)}: expected one shape")
    bell = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    across, down = ((bell / bell.sum()).view(1, 1, *shape) for shape in ((1, 11), (11, 1)))

    def mean(x: Tensor) -> Tensor:  # the window is a product: one axis after the other
        flat = x.double().flatten(0, 1)[:, None]
        rows = functional.conv2d(flat, across)
        return functional.conv2d(rows, down).unflatten(0, x.shape[:2])

    mean_a, mean_b = mean(a), mean(b)
    a64, b64 = a.double(), b.double()
    var_a, var_b = mean(a64 * a64) - mean_a**2, mean(b64 * b64) - mean_b**2
    both = mean(a64 * b64) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return (above / below).flatten(1).mean(1)
