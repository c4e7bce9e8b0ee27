"""BigGAN-deep in plain torch (Brock et al. 2019, "Large Scale GAN Training for High Fidelity
Natural Image Synthesis", appendix B), and the projection discriminator (Miyato and Koyama 2018).

Every layer has noise of its own, a chunk of z as in section 4, and is told the class by itself: a
search can move each. Weights here are plain: `training/biggan.py` normalises them while they learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput

__all__ = ["Attention", "ConditionalNorm", "Discriminator", "Generator", "Shape"]

_SQUEEZE = 4  # how much narrower a block is inside: BigGAN-deep's
_EPS = 1e-4
_EMBEDDING = 0.5  # its deviation at first: a class then tells a layer as much as its noise does


@dataclass(frozen=True)
class Shape:
    """How large the networks are. `channels`: of the maps of 4, 8, 16 … pixels, up to the picture;
    they never grow from one to the next. Raises BadInput for what cannot be built.
    """

    classes: int
    channels: tuple[int, ...] = (384, 256, 128, 64, 32)
    noise: int = 16  # numbers of a layer's own noise
    width: int = 64  # of a class's embedding
    attention: int = 16  # side of the maps whose places look at each other; 0: none do
    early: bool = False  # they do so before that side's first block, as in the published networks

    def __post_init__(self) -> None:
        numbers = (*self.channels, self.noise, self.width, self.classes)
        narrower = all(a >= b for a, b in pairwise(self.channels))
        if not 2 <= len(self.channels) <= 9 or not all(1 <= each <= 4096 for each in numbers):
            raise BadInput(
                f"channels {self.channels}, noise {self.noise}, width {self.width}, classes "
                f"{self.classes}: give 2 to 9 channels, each number from 1 to 4096"
            )
        if not narrower:
            raise BadInput(f"channels {self.channels}: give none that is more than the one before")

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return 2 << len(self.channels)

    @property
    def layers(self) -> int:
        """That are conditioned: the first maps, and two blocks a side, but for the picture's."""
        return 2 * len(self.channels) - 1

    @property
    def condition(self) -> int:
        """Numbers that a layer is told."""
        return self.noise + self.width


class Generator(nn.Module):
    """Conditions → pictures (b, 3, s, s) in [-1, 1].

    While it trains, maps are normalised by their batch; else by what `measure` found.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        first, last = shape.channels[0], shape.channels[-1]
        self.embedding = nn.Linear(shape.classes, shape.width, bias=False)
        self.begin = nn.Linear(shape.condition, first * 16)
        self.blocks = nn.ModuleList()
        self.attention = nn.ModuleDict()
        for i, (inner, outer) in enumerate(pairwise(shape.channels)):
            here = 4 << i == shape.attention
            if here and shape.early:
                self.attention[str(len(self.blocks))] = Attention(inner)
            self.blocks.append(_Up(inner, inner, shape.condition, up=False))
            if here and not shape.early:
                self.attention[str(len(self.blocks))] = Attention(inner)
            self.blocks.append(_Up(inner, outer, shape.condition, up=True))
        self.norm = nn.BatchNorm2d(last, eps=_EPS, momentum=None)
        self.colours = nn.Conv2d(last, 3, 3, padding=1)
        _draw(self)
        nn.init.normal_(self.embedding.weight, std=_EMBEDDING)

    def conditions(self, noise: Tensor, classes: Tensor) -> Tensor:
        """noise (b, layers, n), standard normal, and classes (b, layers, k), of each how much: 1
        for one class and else 0 while it trains → (b, layers, n + width)."""
        return torch.cat([noise, self.embedding(classes)], 2)

    def forward(self, conditions: Tensor) -> Tensor:
        """(b, layers, n + width), each layer's row for itself alone → pictures."""
        first, *rest = conditions.unbind(1)
        x = self.begin(first).unflatten(1, (-1, 4, 4))
        x = x.contiguous(memory_format=torch.channels_last)
        for i, (block, row) in enumerate(zip(self.blocks, rest)):
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
            x = block(x, row)
        colours: Tensor = self.colours(self.norm(x).relu())
        return colours.to(conditions.dtype).tanh()  # of autocast's eight bits, no more than these

    @torch.no_grad()
    def measure(self, batches: Iterable[Tensor]) -> None:
        """Take the maps' means and variances over these conditions, section 3.2's standing
        statistics; leaves the network in evaluation mode."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
        self.train()
        for conditions in batches:
            self(conditions)
        self.eval()


class ConditionalNorm(nn.Module):
    """Batch normalisation, then a gain and a bias that the condition says."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        # momentum None: the running statistics are the plain mean over all batches
        self.norm = nn.BatchNorm2d(channels, eps=_EPS, momentum=None, affine=False)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.bias = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(b, c, h, w), (b, d) → (b, c, h, w)."""
        gain = (1 + self.gain(condition)).to(x.dtype)[:, :, None, None]
        bias = self.bias(condition).to(x.dtype)[:, :, None, None]
        return torch.addcmul(bias, self.norm(x), gain)


class _Up(nn.Module):
    """A residual block of the generator (figure 16): narrow inside, twice the side or the same.

    Beside it the maps go by unchanged, and the last of them are dropped where there are fewer.
    """

    def __init__(self, inner: int, outer: int, condition: int, *, up: bool) -> None:
        super().__init__()
        narrow = max(1, inner // _SQUEEZE)
        self.outer, self.up = outer, up
        widths = (inner, narrow, narrow, narrow)
        self.norms = nn.ModuleList(ConditionalNorm(width, condition) for width in widths)
        self.convs = nn.ModuleList(_chain(inner, narrow, outer))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        aside = x[:, : self.outer]
        for i, (norm, conv) in enumerate(zip(self.norms, self.convs)):
            x = norm(x, condition).relu()
            x = conv(_twice(x) if self.up and i == 1 else x)
        return x + (_twice(aside) if self.up else aside)


class Discriminator(nn.Module):
    """Pictures (b, 3, s, s) in [-1, 1] and their classes (b,) → (b,), high for what looks real."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.channels[::-1]
        self.colours = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for i, (inner, outer) in enumerate(pairwise(widths)):
            self.blocks += [_Down(inner, outer), _Down(outer, outer, down=False)]
            if shape.size >> (i + 1) == shape.attention:
                self.blocks.append(Attention(outer))
        self.out = nn.Linear(widths[-1], 1)
        self.embedding = nn.Embedding(shape.classes, widths[-1])
        _draw(self)

    def features(self, pictures: Tensor) -> Tensor:
        """φ of Miyato and Koyama: (b, 3, s, s) → (b, c), summed over places.

        Divided by the root of their number: the last layer then learns no faster than the others,
        where a plain sum made what is said of all pictures jump by 3 from step to step.
        """
        x = self.colours(pictures.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        return _wide(x.relu()).sum((2, 3)) / math.sqrt(x.shape[2] * x.shape[3])

    def forward(self, pictures: Tensor, classes: Tensor) -> Tensor:
        """Equation 3: ⟨v_y, φ(x)⟩ + ψ(φ(x))."""
        phi = self.features(pictures)
        with torch.autocast(phi.device.type, enabled=False):  # eight bits are few for one number
            said: Tensor = self.out(phi)[:, 0] + (self.embedding(classes) * phi).sum(1)
        return said


class _Down(nn.Module):
    """A residual block of the discriminator: half the side, or the same.

    Beside it the maps go by unchanged, and a convolution adds those that are lacking.
    """

    def __init__(self, inner: int, outer: int, *, down: bool = True) -> None:
        super().__init__()
        self.down = down
        self.convs = nn.ModuleList(_chain(inner, max(1, outer // _SQUEEZE), outer))
        self.more = nn.Conv2d(inner, outer - inner, 1) if outer > inner else None

    def forward(self, x: Tensor) -> Tensor:
        aside = functional.avg_pool2d(x, 2) if self.down else x
        if self.more is not None:
            aside = torch.cat([aside, self.more(aside)], 1)
        for i, conv in enumerate(self.convs):
            x = x.relu()
            x = conv(functional.avg_pool2d(x, 2) if self.down and i == 3 else x)
        return x + aside


class Attention(nn.Module):
    """Each place looks at all (Zhang et al. 2019, "Self-Attention GANs"), at first with no effect.

    What is looked at is pooled to half the side, and the maps are fewer: as BigGAN has it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, middle = max(1, channels // 8), max(1, channels // 2)
        self.ask = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, middle, 1, bias=False)
        self.out = nn.Conv2d(middle, channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        asked = self.ask(x).flatten(2).mT
        keys, values = (
            functional.max_pool2d(conv(x), 2).flatten(2) for conv in (self.key, self.value)
        )
        weights = _wide(asked @ keys).softmax(2).to(values.dtype)  # not divided by √d: BigGAN's
        found = (values @ weights.mT).unflatten(2, x.shape[2:])
        found = found.contiguous(memory_format=torch.channels_last)
        return x + self.strength.to(x.dtype) * self.out(found)


def _chain(inner: int, narrow: int, outer: int) -> list[nn.Module]:
    """1x1, 3x3, 3x3, 1x1."""
    return [
        nn.Conv2d(inner, narrow, 1),
        nn.Conv2d(narrow, narrow, 3, padding=1),
        nn.Conv2d(narrow, narrow, 3, padding=1),
        nn.Conv2d(narrow, outer, 1),
    ]


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _wide(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _draw(network: nn.Module) -> None:
    """Orthogonal weights (appendix C), no biases."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)
