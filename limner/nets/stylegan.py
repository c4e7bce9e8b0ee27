"""StyleGAN2 in plain torch (Karras et al. 2020, "Analyzing and Improving the Image Quality of
StyleGAN", configuration F: modulated convolutions, skips to RGB, a residual discriminator).

Nothing here is random after the weights are drawn: the noise of the layers is an argument.
Parameters are named as in the published networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.nets._equalised import GAIN, Conv2d, Linear, activate, blur, upsample
from limner.nets._styled import Styled, float32

__all__ = ["Discriminator", "Generator", "Shape", "demodulation", "mixed", "modulated"]

_GROUP = 4  # pictures among which the discriminator compares (Karras et al. 2018, section 3)
_EPS = 1e-8


@dataclass(frozen=True)
class Shape:
    """How large the networks are. `channels`: of the maps of 4, 8, 16 … pixels, up to the picture.

    clamp:  the most that a number of a map may be, either way; 0: any. NVIDIA trains with 256, so
            that maps fit into 16 bits (Karras et al. 2020, "Training GANs with Limited Data")

    Raises BadInput for what cannot be built.
    """

    channels: tuple[int, ...] = (192, 192, 128, 64, 24)
    width: int = 128  # of z and w
    mapping_layers: int = 4
    clamp: float = 0.0

    def __post_init__(self) -> None:
        numbers = (*self.channels, self.width, self.mapping_layers)
        if not 1 <= len(self.channels) <= 9 or not all(1 <= each <= 4096 for each in numbers):
            raise BadInput(
                f"channels {self.channels}, width {self.width}, mapping_layers "
                f"{self.mapping_layers}: give 1 to 9 channels, each number from 1 to 4096"
            )
        if not 0 <= self.clamp <= 65504:
            raise BadInput(f"clamp {self.clamp}: give a number from 0 (none) to 65504")

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return 2 << len(self.channels)

    @property
    def layers(self) -> int:
        """Rows of w+: one for every convolution, and one for the last colours."""
        return 2 * len(self.channels)

    @property
    def sides(self) -> list[int]:
        """Of every layer's noise, pixels, in the order in which it is added."""
        return [4, *(4 << i for i in range(1, len(self.channels)) for _ in range(2))]

    @property
    def noise(self) -> int:
        """Numbers of noise a picture: all layers' maps, one behind the other."""
        return sum(side * side for side in self.sides)

    @property
    def style_widths(self) -> list[int]:
        """Channels that each affine layer scales, in order: 4 px conv1, torgb; 8 px conv0, …"""
        first, *rest = self.channels
        before = self.channels[:-1]
        return [first, first, *(n for a, b in zip(before, rest) for n in (a, b, b))]

    @property
    def scales(self) -> list[bool]:
        """Of each style: whether it scales a convolution's maps; the others make colours."""
        return [True, False, *[True, True, False] * (len(self.channels) - 1)]


def modulated(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False) -> Tensor:
    """Equation 1: x (b, i, h, w), weight (o, i, k, k), style (b, i) → (b, o, h, w).

    The style scales the maps instead of the weights: the same, with one convolution for all rows.
    `up` doubles the sides.
    """
    x = x * style.to(x.dtype)[:, :, None, None]
    if not up:
        return functional.conv2d(x, weight, padding=weight.shape[2] // 2)
    return blur(functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 4.0)


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Equation 3: the factor on what is `modulated`, (b, o), 1 / √(Σ (style · weight)²)."""
    return (functional.linear(style.square(), weight.square().sum((2, 3))) + _EPS).rsqrt()


def mixed(coarse: Tensor, fine: Tensor, cut: Tensor) -> Tensor:
    """w+ (b, layers, d) with the rows before `cut` (b,) of one and from there on of the other."""
    row = torch.arange(coarse.shape[1], device=coarse.device)
    return torch.where((row < cut[:, None])[:, :, None], coarse, fine)


class Generator(Styled):
    """z → w → styles → pictures (b, 3, s, s), about [-1, 1]."""

    shape: Shape
    synthesis: _Synthesis
    path_length: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, _Synthesis)
        self.register_buffer("path_length", torch.zeros(()))  # a of eq. 4, while it is trained

    @torch.no_grad()
    def measure(self, z: Tensor) -> None:
        """Take w_avg and w_std from these z (n, d)."""
        w = self.mapping(z)
        self.w_avg.copy_(w.mean(0))
        self.w_std.copy_(w.std(0))


class _Synthesis(nn.Module):
    """Styles and noise → pictures, from 4 pixels upwards."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        before = 0
        for i, channels in enumerate(shape.channels):
            self.add_module(f"b{4 << i}", _Block(before, channels, shape.width, shape.clamp))
            before = channels

    def blocks(self) -> list[_Block]:
        return [block for block in self.children() if isinstance(block, _Block)]

    def affines(self) -> Iterator[tuple[int, Linear]]:
        """Each affine layer, with the row of w+ that it reads; to RGB reads the next block's."""
        row = 0
        for block in self.blocks():
            for layer in block.convolutions():
                yield row, layer.affine
                row += 1
            yield row, block.torgb.affine

    def styles(self, w_plus: Tensor) -> Tensor:
        """w+ (b, layers, d) → style space (b, Σ style_widths) (Wu et al. 2021, "StyleSpace")."""
        with float32(w_plus):
            return torch.cat([affine(w_plus[:, row]) for row, affine in self.affines()], 1)

    def forward(self, styles: Tensor, noise: Tensor) -> Tensor:
        each = iter(styles.split(self.shape.style_widths, 1))
        sides = self.shape.sides
        maps = iter(noise.split([side * side for side in sides], 1))
        x, picture = styles.new_zeros(()), styles.new_zeros(())
        for block in self.blocks():
            if block.const is not None:
                x = block.const.expand(len(styles), -1, -1, -1)
                x = x.contiguous(memory_format=torch.channels_last)
            for layer in block.convolutions():
                x = layer(x, next(each), next(maps))
            colours = block.torgb(x, next(each)).to(styles.dtype)
            picture = colours if block.const is not None else upsample(picture) + colours
        return picture


class _Block(nn.Module):
    """The layers of one side: 4 pixels begin with a constant, others with twice the side."""

    def __init__(self, before: int, channels: int, width: int, clamp: float) -> None:
        super().__init__()
        self.const = None if before else nn.Parameter(torch.randn(channels, 4, 4))
        self.conv0 = _Layer(before, channels, width, clamp, up=True) if before else None
        self.conv1 = _Layer(channels, channels, width, clamp)
        self.torgb = _Colours(channels, width, clamp)

    def convolutions(self) -> list[_Layer]:
        return [self.conv0, self.conv1] if self.conv0 else [self.conv1]


class _Layer(nn.Module):
    """A modulated convolution, noise, bias, activation."""

    def __init__(
        self, inner: int, outer: int, width: int, clamp: float, *, up: bool = False
    ) -> None:
        super().__init__()
        self.affine = Linear(width, inner, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outer, inner, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outer))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.clamp, self.up = clamp, up

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """(b, i, h, w), (b, i), (b or 1, h'·w') → (b, o, h', w')."""
        weight = self.weight / math.sqrt(self.weight[0].numel())
        convolved = modulated(x, weight, style, up=self.up)
        factor = (GAIN * demodulation(weight, style)).to(x.dtype)[:, :, None, None]
        bias = (GAIN * self.bias).to(x.dtype)[:, None, None]
        drawn = noise.view(-1, 1, *convolved.shape[2:]) * (GAIN * self.noise_strength)
        x = activate(torch.addcmul(bias, convolved, factor) + drawn.to(x.dtype))
        return _clamped(x, self.clamp)


class _Colours(nn.Module):
    """To RGB: modulated by style, not normalised."""

    def __init__(self, inner: int, width: int, clamp: float) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = Linear(width, inner, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inner, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(b, i, h, w), (b, i) → (b, 3, h, w)."""
        weight = self.weight / math.sqrt(self.weight.shape[1])
        x = modulated(x, weight, style)
        return _clamped(x + self.bias.to(x.dtype)[:, None, None], self.clamp)


class Discriminator(nn.Module):
    """Pictures (b, 3, s, s) in [-1, 1] → (b,), high for what looks real."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.channels[::-1]
        self.colours = Conv2d(3, widths[0], 1, gain=GAIN)
        self.halves = nn.Sequential(*(_Half(a, b) for a, b in pairwise(widths)))
        self.conv = Conv2d(widths[-1] + 1, widths[-1], 3, gain=GAIN)
        self.hidden = Linear(widths[-1] * 16, widths[-1], gain=GAIN)
        self.out = Linear(widths[-1], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.contiguous(memory_format=torch.channels_last)
        x = self.halves(activate(self.colours(x)))
        x = activate(self.conv(torch.cat([x, _spread(x)], 1)))
        said: Tensor = self.out(activate(self.hidden(x.flatten(1))))
        return said[:, 0]


class _Half(nn.Module):
    """Half the side: two convolutions beside a linear one, their sum of unit variance."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        # Their sum over √2: which is the activation's gain undone, and the skip's.
        self.conv0 = Conv2d(inner, inner, 3, gain=GAIN)
        self.conv1 = Conv2d(inner, outer, 3, stride=2)
        self.skip = Conv2d(inner, outer, 1, gain=1 / GAIN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        aside = self.skip(blur(x, 2)[:, :, 1::2, 1::2])
        return activate(self.conv1(blur(activate(self.conv0(x)), 2))) + aside


def _spread(x: Tensor) -> Tensor:
    """(b, c, h, w) → (b, 1, h, w): the standard deviation within groups of four, averaged."""
    b, _, h, w = x.shape
    group = math.gcd(b, _GROUP)
    grouped = x.float().reshape(group, -1, *x.shape[1:])
    deviation = (grouped.var(0, correction=0) + _EPS).sqrt().mean((1, 2, 3))
    return deviation.repeat(group).to(x.dtype)[:, None, None, None].expand(b, 1, h, w)


def _clamped(x: Tensor, most: float) -> Tensor:
    return x.clamp(-most, most) if most else x
