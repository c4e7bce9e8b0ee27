"""StyleGAN3's generator in plain torch (Karras et al. 2021, "Alias-Free Generative Adversarial
Networks"), configurations T and R: signals of limited bandwidth, so that what is drawn moves with
what it is drawn on.

For running: the filters are weights, made by whoever trained it, and magnitudes are as they were
measured. It has no noise. Parameters are named as in the published networks, where they have names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.nets._equalised import GAIN, SLOPE, Linear
from limner.nets._styled import Styled, float32

__all__ = ["Generator", "Layer", "Shape"]

_EPS = 1e-8
_TRANSFORM = 4  # numbers of the learned transform: (r_c, r_s, t_x, t_y), appendix F


@dataclass(frozen=True)
class Layer:
    """One convolution and the filtered rectifier behind it (figure 4b).

    up, down:            how many times as many samples the rectifier has as what comes in, and as
                         what goes out
    up_taps, down_taps:  of the filters; 1: there is none
    padding:             zeros before and after, once the samples are more; below 0: cut off
    radial:              the filter on the way down is round, not a product of two (config R)
    """

    inner: int
    outer: int
    kernel: int
    up: int
    down: int
    up_taps: int
    down_taps: int
    padding: tuple[int, int]
    radial: bool = False

    def side(self, side: int) -> int:
        """Pixels that go out where so many come in."""
        more = (side + self.kernel - 1) * self.up + sum(self.padding)
        return (more - (self.up_taps - 1) - (self.down_taps - 1) + self.down - 1) // self.down


@dataclass(frozen=True)
class Shape:
    """How large the network is. Raises BadInput for what cannot be built.

    first:      pixels of the Fourier features' side
    rate:       samples of the features to a picture's side: fewer than `first`, which has margins
    bandwidth:  of the features, in cycles to a picture's side
    clamp:      the most that a number of a map may be, either way; 0: any
    gain:       on the colours: .25 in the published networks
    """

    convolutions: tuple[Layer, ...]  # the last one makes colours, with no rectifier
    first: int
    rate: float
    bandwidth: float
    width: int = 512  # of z and w
    mapping_layers: int = 2
    clamp: float = 256.0
    gain: float = 0.25

    def __post_init__(self) -> None:
        rows = self.convolutions
        if not 1 <= len(rows) <= 64 or rows[-1].outer != 3:
            raise BadInput(f"{len(rows)} convolutions: give 1 to 64, the last of 3 channels")
        for row in rows:
            small = (row.kernel, row.up, row.down, row.up_taps, row.down_taps)
            if not all(1 <= each <= 128 for each in small) or max(map(abs, row.padding)) > 4096:
                raise BadInput(f"{row}: give kernels, factors and taps from 1 to 128")
        wide = (*(n for row in rows for n in (row.inner, row.outer)), self.width)
        if not all(1 <= each <= 4096 for each in (*wide, self.mapping_layers, *self.every_side)):
            raise BadInput("give each channel, width and side a number from 1 to 4096")
        real = (self.rate, self.bandwidth, self.gain, self.clamp)
        if not all(math.isfinite(each) for each in real) or not 0 < 2 * self.bandwidth < self.rate:
            raise BadInput(f"rate {self.rate}, bandwidth {self.bandwidth}: give twice less of it")

    @property
    def every_side(self) -> list[int]:
        """Of the features and of each layer's maps, pixels."""
        sides = [self.first]
        for layer in self.convolutions:
            sides.append(layer.side(sides[-1]))
        return sides

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return self.every_side[-1]

    @property
    def sides(self) -> list[int]:
        """Of the maps that each row of w+ makes, but for the last, which makes colours."""
        return self.every_side[:-1]

    @property
    def layers(self) -> int:
        """Rows of w+: the features' transform, and each convolution's."""
        return 1 + len(self.convolutions)

    @property
    def noise(self) -> int:
        """Numbers of noise a picture: none."""
        return 0

    @property
    def style_widths(self) -> list[int]:
        """Numbers that each affine layer makes: the transform, then the channels that it scales."""
        return [_TRANSFORM, *(layer.inner for layer in self.convolutions)]

    @property
    def scales(self) -> list[bool]:
        """Of each style: whether it scales a convolution's maps; the first turns and shifts, the
        last makes colours."""
        return [False, *[True] * (len(self.convolutions) - 1), False]


class Generator(Styled):
    """z → w → styles → pictures (b, 3, s, s), about [-1, 1]; there is no noise."""

    shape: Shape

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, _Synthesis)


class _Synthesis(nn.Module):
    """Styles → pictures."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.input = _Features(shape)
        *inner, last = shape.convolutions
        made = [_Layer(each, shape, colours=False) for each in inner]
        self.layers = nn.ModuleList([*made, _Layer(last, shape, colours=True)])

    def styles(self, w_plus: Tensor) -> Tensor:
        """w+ (b, layers, d) → (b, Σ style_widths): the transform's numbers, then the channels'."""
        affines = [part.get_submodule("affine") for part in (self.input, *self.layers)]
        with float32(w_plus):
            return torch.cat([affine(w) for affine, w in zip(affines, w_plus.unbind(1))], 1)

    def forward(self, styles: Tensor, noise: Tensor) -> Tensor:
        turned, *scaled = styles.split(self.shape.style_widths, 1)
        x = self.input(turned)
        for layer, style in zip(self.layers, scaled):
            x = layer(x, style)
        return x * self.shape.gain


class _Features(nn.Module):
    """Fourier features of limited bandwidth, turned and shifted as w says (appendices C.1 and F).

    `transform` (3, 3) turns and shifts them once more: the inverse of what is done to the picture.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, channels = shape, shape.convolutions[0].inner
        self.affine = Linear(shape.width, _TRANSFORM)
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.register_buffer("freqs", torch.zeros(channels, 2))  # cycles to a picture's side, x y
        self.register_buffer("phases", torch.zeros(channels))  # cycles
        self.register_buffer("transform", torch.eye(3))

    def forward(self, style: Tensor) -> Tensor:
        """(b, 4) → (b, c, first, first), the waves in float32 at least: eight bits are too few for
        an angle."""
        given, style = style.dtype, style.to(self.freqs.dtype)
        style = style / style[:, :2].norm(dim=1, keepdim=True)
        cos, sin, right, down = style.unbind(1)
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
        shift = -turn @ torch.stack([right, down], 1)[:, :, None]
        own = self.transform
        freqs = self.freqs @ (turn @ own[:2, :2])
        phases = self.phases + (self.freqs @ (turn @ own[:2, 2:] + shift))[:, :, 0]
        rate, band = self.shape.rate, self.shape.bandwidth
        # What the transform has brought out of the band fades up to half the rate.
        loud = (1 - (freqs.norm(dim=2) - band) / (rate / 2 - band)).clamp(0, 1)
        at = torch.arange(self.shape.first, dtype=freqs.dtype, device=freqs.device)
        at = (at + 0.5 - self.shape.first / 2) / rate  # in picture's sides, 0 in the middle
        across, along = (at[None, :, None] * freqs[:, None, :, i] for i in (0, 1))
        angle = across[:, None] + along[:, :, None] + phases[:, None, None]
        waves = torch.sin(2 * math.pi * angle) * loud[:, None, None]
        mixed = waves.to(given) @ (self.weight / math.sqrt(len(self.weight))).T
        return mixed.permute(0, 3, 1, 2)  # numbers of a place beside each other: channels-last


class _Layer(nn.Module):
    """A modulated convolution, then the rectifier between two filters; for colours, neither."""

    up_filter: Tensor | None
    down_filter: Tensor | None
    magnitude_ema: Tensor

    def __init__(self, layer: Layer, shape: Shape, *, colours: bool) -> None:
        super().__init__()
        self.layer, self.clamp, self.colours = layer, shape.clamp, colours
        self.affine = Linear(shape.width, layer.inner, bias=1.0)
        side = layer.kernel
        self.weight = nn.Parameter(torch.randn(layer.outer, layer.inner, side, side))
        self.bias = nn.Parameter(torch.zeros(layer.outer))
        self.register_buffer("magnitude_ema", torch.ones(()))  # of what comes in, squared
        round_ = (layer.down_taps,) * (2 if layer.radial else 1)
        up = torch.zeros(layer.up_taps) if layer.up_taps > 1 else None
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", torch.zeros(round_) if layer.down_taps > 1 else None)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(b, i, h, w), (b, i) → (b, o, h', w')."""
        layer = self.layer
        weight: Tensor = self.weight
        if self.colours:
            style, factor = style / math.sqrt(weight[0].numel()), None
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean(1, keepdim=True).rsqrt()
            power = functional.linear(style.square(), weight.square().sum((2, 3)))
            factor = (power + _EPS).rsqrt()[:, :, None, None]
        x = x * (style * self.magnitude_ema.to(x.dtype).rsqrt())[:, :, None, None]
        x = functional.conv2d(x, weight, padding=layer.kernel - 1)
        x = (x if factor is None else x * factor) + self.bias[:, None, None]
        x = _more(x, self.up_filter, layer.up, layer.padding)
        if not self.colours:
            x = functional.leaky_relu(x, SLOPE) * GAIN
        if self.clamp:
            x = x.clamp(-self.clamp, self.clamp)
        return _fewer(x, self.down_filter, layer.down)


def _more(x: Tensor, taps: Tensor | None, up: int, padding: tuple[int, int]) -> Tensor:
    """(b, c, h, w) with `up` times the samples on each axis: zeros between them and around, then
    the filter, whose taps sum to 1, `up` times as strong."""
    b, c, h, w = x.shape
    if up > 1:
        spread = x.new_zeros(b, c, h, up, w, up)
        spread[:, :, :, 0, :, 0] = x
        x = spread.view(b, c, h * up, w * up)
    x = functional.pad(x, (*padding, *padding))
    return x if taps is None else _convolved(x, taps * up, 1)


def _fewer(x: Tensor, taps: Tensor | None, down: int) -> Tensor:
    """The filter, and every `down`-th sample of each axis."""
    return x[:, :, ::down, ::down] if taps is None else _convolved(x, taps, down)


def _convolved(x: Tensor, taps: Tensor, stride: int) -> Tensor:
    """Each map with the taps (n,) along both axes, or with (n, n); what lies within, no zeros."""
    channels, taps = x.shape[1], taps.to(x.dtype)
    if taps.ndim == 2:
        rows = taps.flip(0, 1).expand(channels, 1, -1, -1)
        return functional.conv2d(x, rows, stride=stride, groups=channels)
    along = taps.flip(0).expand(channels, 1, -1)
    x = functional.conv2d(x, along[:, :, None], stride=(1, stride), groups=channels)
    return functional.conv2d(x, along[..., None], stride=(stride, 1), groups=channels)
