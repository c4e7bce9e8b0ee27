"""Latents seen at a fraction of the decoder's price: what guidance by a judge looks at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from limner.data._open import open_data
from limner.models._text_to_image import TextToImage

__all__ = ["SIGHTS", "decoded", "linear", "sight_of"]

SIGHTS = ("linear", "decoder")
_CELLS = 16  # latents to a side of the pictures that the map is learned from
_PICTURES = 24  # 6,144 latents for the 9·c + 1 unknowns of each colour of a pixel


def sight_of(kind: str, model: TextToImage) -> Callable[[Tensor], Tensor]:
    """x0 (b, c, h, w) → pictures (b, 3, h', w') about [0, 1], float32, with gradients."""
    return linear(model) if kind == "linear" else lambda x0: decoded(model, x0)


def decoded(model: TextToImage, x0: Tensor) -> Tensor:
    """By the decoder, (b, 3, h·f, w·f).

    As `TextToImage.decode`, without its clamp: that would hide from a judge what is beyond.
    """
    plain = x0 / model.scaling_factor + model.shift_factor
    return model.vae.decode(plain.to(model.device, model.dtype)).float().div(2).add(0.5)


@torch.no_grad()
def linear(model: TextToImage) -> Callable[[Tensor], Tensor]:
    """By an affine map of each latent and its eight neighbours, at half the size: (b, 3, h·f/2,
    w·f/2).

    Latents are nearly linear in the picture's colours, which previews of latents make use of. The
    map is that of least squares for pictures of the world scenes, encoded; always the same ones.
    """
    by = max(1, model.downscale // 2)
    drawn, _ = open_data("world:scenes", size=_CELLS * model.downscale).batch(range(_PICTURES))
    pictures = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255
    latents = model.encode(pictures).cpu()
    small = functional.interpolate(pictures, size=(_CELLS * by, _CELLS * by), mode="area")
    wanted = functional.pixel_unshuffle(small, by).permute(0, 2, 3, 1).flatten(0, 2)
    around = functional.unfold(latents, 3, padding=1).transpose(1, 2).flatten(0, 1)
    known = torch.cat([around, torch.ones(len(around), 1)], 1)
    found = torch.linalg.lstsq(known.double(), wanted.double()).solution.float().T
    weight = found[:, :-1].unflatten(1, (latents.shape[1], 3, 3)).to(model.device).contiguous()
    bias = found[:, -1].to(model.device).contiguous()

    def seen(x0: Tensor) -> Tensor:
        colours = functional.conv2d(x0.float(), weight, bias, padding=1)
        return functional.pixel_shuffle(colours, by)

    return seen
