"""The networks of denoising diffusion GANs (Xiao, Kreis & Vahdat 2022, "Tackling the generative
learning trilemma with denoising diffusion GANs", section 4 and appendix C).

The generator is a U-Net of diffusers' that is told, beside the time, what `Mapping` makes of a
random z; the discriminator is small, and is told the time.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.nets.noised_tower import waves

__all__ = ["Discriminator", "Generator", "Mapping"]

_SLOPE = 0.2  # of the leaky rectifiers below zero
_WAVES, _TOLD = 128, 128  # numbers of the time's waves, and what the blocks are told of it
_GROUP = 4  # pictures that are compared (Karras et al. 2018, section 3)
_SMALLEST = 4  # pixels of the side at which the discriminator judges


class Mapping(nn.Module):
    """z (b, noise) → what the U-Net is told, (b, width): z brought to length √noise, then a
    perceptron."""

    def __init__(self, noise: int = 64, width: int = 256, layers: int = 3) -> None:
        super().__init__()
        sizes = [noise, *[width] * layers]
        steps: list[nn.Module] = []
        for inner, outer in pairwise(sizes):
            steps += [nn.Linear(inner, outer), nn.SiLU()]
        self.layers = nn.Sequential(*steps, nn.Linear(width, width))

    def forward(self, z: Tensor) -> Tensor:
        length = z.square().mean(1, keepdim=True).add(1e-8).rsqrt()
        said: Tensor = self.layers(z * length)
        return said


class Generator(nn.Module):
    """x_t (b, c, h, w), timesteps (b,) of 1000 and z (b, noise) → a drawn x0 in [−1, 1].

    unet: diffusers' UNet2DModel with class_embed_type identity
    """

    def __init__(self, unet: nn.Module, mapping: Mapping) -> None:
        super().__init__()
        self.unet, self.mapping = unet, mapping

    def forward(self, x: Tensor, timesteps: Tensor, z: Tensor) -> Tensor:
        said: Tensor = self.unet(x, timesteps, class_labels=self.mapping(z)).sample
        return said.tanh()


class Discriminator(nn.Module):
    """x_{t−1} and x_t (b, c, h, w), times of x_t (b,) in [0, 1] → logits (b,): whether x_{t−1} is
    a real one's.

    side:   pixels; it is halved until it is odd or 4
    width:  of the first blocks; the later ones have up to four times as many
    """

    def __init__(self, channels: int, side: int, width: int = 32) -> None:
        super().__init__()
        widths = [width]
        while side % 2 == 0 and side > _SMALLEST:
            side //= 2
            widths.append(min(2 * widths[-1], 4 * width))
        self.time = nn.Sequential(
            nn.Linear(_WAVES, _TOLD), nn.LeakyReLU(_SLOPE), nn.Linear(_TOLD, _TOLD)
        )
        self.first = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Down(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, before: Tensor, x: Tensor, times: Tensor) -> Tensor:
        told = functional.leaky_relu(self.time(waves(times.to(x))), _SLOPE)
        h = self.first(torch.cat([before, x], 1))
        for block in self.blocks:
            h = block(h, told)
        h = functional.leaky_relu(self.last(torch.cat([h, _spread(h)], 1)), _SLOPE)
        logits: Tensor = self.head(h.sum((2, 3)))[:, 0]
        return logits


class _Down(nn.Module):
    """Half the side; the time is added between the two convolutions."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inner, outer, 3, padding=1)
        self.told = nn.Linear(_TOLD, outer)
        self.two = nn.Conv2d(outer, outer, 3, padding=1)
        self.past = nn.Conv2d(inner, outer, 1, bias=False)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.one(functional.leaky_relu(x, _SLOPE)) + self.told(told)[:, :, None, None]
        h = self.two(functional.avg_pool2d(functional.leaky_relu(h, _SLOPE), 2))
        out: Tensor = (h + self.past(functional.avg_pool2d(x, 2))) / math.sqrt(2)
        return out


def _spread(h: Tensor) -> Tensor:
    """(b, c, h, w) → (b, 1, h, w): how far the pictures of a group differ, one number each."""
    count = _GROUP if len(h) % _GROUP == 0 else len(h)
    groups = h.unflatten(0, (count, -1))
    told = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return told.repeat(count)[:, None, None, None].expand(-1, 1, *h.shape[2:])
