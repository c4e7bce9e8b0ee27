"""PriorNetwork: a picture by the weights of a network (Ulyanov et al. 2018, "Deep Image Prior").

The network turns fixed noise into the picture. It takes to what pictures have, edges and repeated
texture, long before it takes to noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from limner.errors import BadInput
from limner.generators import Latent
from limner.generators._size import checked
from limner.noise import Noise

__all__ = ["PriorNetwork"]

# The paper's supplement has five scales, 4 channels in the skips and 32 of uniform noise, times .1;
# its 128 channels at every scale are 32 here, for two cores.
_SCALES, _SKIP, _INPUTS, _WIDTH, _NOISE = 5, 4, 32, 32, 0.1
_SMALLEST = 8  # pixels of a side: the smallest map is half of it


class PriorNetwork:
    """Pictures of size (width, height), each with a network of its own.

    latent: the network's weights, each (b, …) under its name, any values; and `input`
    (b, 32, h, w), the noise, which is not searched.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = checked(size)
        if min(size) < _SMALLEST:
            raise BadInput(f"size {size}: a network needs sides of {_SMALLEST} pixels or more")
        with torch.device("meta"):  # the weights come from the latent
            self._network = _Hourglass(min(_SCALES, int(math.log2(min(size))) - 2))
        self._shapes = {name: tuple(w.shape) for name, w in self._network.named_parameters()}
        self.rates: Mapping[str, float] = {name: 0.01 for name in self._shapes} | {"input": 0.0}

    def start(self, noise: Noise) -> Latent:
        """The input and the weights at random; norms that change nothing yet."""
        width, height = self.size
        latent = {"input": _NOISE * noise.uniform((_INPUTS, height, width), purpose="input")}
        for name, shape in self._shapes.items():
            if len(shape) == 4:  # a convolution's, as torch starts them: uniform within 1/√fan-in
                bound = math.prod(shape[1:]) ** -0.5
                latent[name] = bound * (2 * noise.uniform(shape, purpose=name) - 1)
            else:
                fill = 1.0 if name.endswith("weight") else 0.0
                latent[name] = torch.full((len(noise.samples), *shape), fill)
        return latent

    def render(self, latent: Latent) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1], one network after another: bit for bit as if alone."""
        pictures = []
        for i in range(len(latent["input"])):
            weights = {name: latent[name][i] for name in self._shapes}
            pictures.append(functional_call(self._network, weights, (latent["input"][i : i + 1],)))
        return torch.cat(pictures)

    def constrain(self, latent: Latent) -> Latent:
        """The latent itself: every network has a picture."""
        return latent


class _Hourglass(nn.Module):
    """Noise (1, 32, h, w) → a picture (1, 3, h, w) in [0, 1]: by halves down, up again, skips."""

    def __init__(self, scales: int) -> None:
        super().__init__()
        widths = [_INPUTS] + [_WIDTH] * (scales - 1)
        self.down = nn.ModuleList(
            nn.Sequential(*_layer(width, _WIDTH, 3, 2), *_layer(_WIDTH, _WIDTH, 3))
            for width in widths
        )
        self.skip = nn.ModuleList(nn.Sequential(*_layer(width, _SKIP, 1)) for width in widths)
        self.up = nn.ModuleList(
            nn.Sequential(*_layer(_SKIP + _WIDTH, _WIDTH, 3), *_layer(_WIDTH, _WIDTH, 1))
            for _ in widths
        )
        self.out = nn.Conv2d(_WIDTH, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for down, skip in zip(self.down, self.skip):
            skipped.append(skip(x))
            x = down(x)
        for aside, up in zip(reversed(skipped), self.up):
            x = functional.interpolate(x, size=aside.shape[2:], mode="bilinear")
            x = up(torch.cat([aside, x], 1))
        picture: Tensor = self.out(x).sigmoid()
        return picture


def _layer(inner: int, outer: int, side: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """A convolution whose bias the norm after it would take away; each channel normed by itself,
    which is the paper's batch norm on a batch of one."""
    convolution = nn.Conv2d(
        inner, outer, side, stride, side // 2, bias=False, padding_mode="replicate"
    )
    return convolution, nn.GroupNorm(outer, outer), nn.LeakyReLU(0.2)
