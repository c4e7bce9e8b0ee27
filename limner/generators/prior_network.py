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
from limner.generators._size import checked, fitting
from limner.noise import Noise

__all__ = ["PriorNetwork"]

# The paper's supplement has five scales, 4 channels in the skips and 32 of uniform noise, times .1;
# its 128 channels at every scale are 32 here, for two cores.
_SCALES, _SKIP, _INPUTS, _WIDTH, _NOISE = 5, 4, 32, 32, 0.1
_EDGE = 0.02  # where black and white begin: their logits are infinite
_SMALLEST = 8  # pixels of a side: the smallest map is half of it


class PriorNetwork:
    """Pictures of size (width, height), each with a network of its own.

    pictures:  (1 or b, 3, h, w) in [0, 1], what the networks read instead of noise, as the edit
               generator of Text2LIVE does (Bar-Tal et al. 2022); their last layer adds to the
               picture's logits and starts at 0, so that a search begins with the picture itself

    latent: the network's weights, each (b, …) under its name, any values; and `input`
    (b, 32, h, w), the noise, or (b, 3, h, w), the picture, which is not searched.
    """

    def __init__(self, size: tuple[int, int], pictures: Tensor | None = None) -> None:
        self.size = checked(size)
        if min(size) < _SMALLEST:
            raise BadInput(f"size {size}: a network needs sides of {_SMALLEST} pixels or more")
        self.pictures = None if pictures is None else fitting(pictures, size)
        inputs = _INPUTS if pictures is None else 3
        with torch.device("meta"):  # the weights come from the latent
            self._network = _Hourglass(min(_SCALES, int(math.log2(min(size))) - 2), inputs)
        self._shapes = {name: tuple(w.shape) for name, w in self._network.named_parameters()}
        self.rates: Mapping[str, float] = {name: 0.01 for name in self._shapes} | {"input": 0.0}

    def start(self, noise: Noise) -> Latent:
        """The input and the weights at random; norms that change nothing yet."""
        latent = {"input": self._input(noise)}
        for name, shape in self._shapes.items():
            if name == "out.weight" and self.pictures is not None:
                latent[name] = torch.zeros(len(noise.samples), *shape)
            elif len(shape) == 4:  # a convolution's, as torch starts them: uniform within 1/√fan-in
                bound = math.prod(shape[1:]) ** -0.5
                latent[name] = bound * (2 * noise.uniform(shape, purpose=name) - 1)
            else:
                fill = 1.0 if name.endswith("weight") else 0.0
                latent[name] = torch.full((len(noise.samples), *shape), fill)
        return latent

    def _input(self, noise: Noise) -> Tensor:
        width, height = self.size
        if self.pictures is None:
            return _NOISE * noise.uniform((_INPUTS, height, width), purpose="input")
        return self.pictures.expand(len(noise.samples), -1, -1, -1).clone()

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
    """Noise (1, 32, h, w), or a picture (1, 3, h, w) → a picture (1, 3, h, w) in [0, 1]: by halves
    down, up again, skips."""

    def __init__(self, scales: int, inputs: int) -> None:
        super().__init__()
        widths = [inputs] + [_WIDTH] * (scales - 1)
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

    def forward(self, given: Tensor) -> Tensor:
        x, skipped = given, []
        for down, skip in zip(self.down, self.skip):
            skipped.append(skip(x))
            x = down(x)
        for aside, up in zip(reversed(skipped), self.up):
            x = functional.interpolate(x, size=aside.shape[2:], mode="bilinear")
            x = up(torch.cat([aside, x], 1))
        logits: Tensor = self.out(x)
        if given.shape[1] == 3:
            logits = logits + given.logit(_EDGE)
        return logits.sigmoid()


def _layer(inner: int, outer: int, side: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """A convolution whose bias the norm after it would take away; each channel normed by itself,
    which is the paper's batch norm on a batch of one."""
    convolution = nn.Conv2d(
        inner, outer, side, stride, side // 2, bias=False, padding_mode="replicate"
    )
    return convolution, nn.GroupNorm(outer, outer), nn.LeakyReLU(0.2)
