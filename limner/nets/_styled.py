"""What StyleGAN2 and 3 share: z becomes w, and w says each layer's style."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from limner.nets._equalised import GAIN, Linear, activate

__all__ = ["Mapping", "Styled", "float32"]

_MAPPING_RATE = 0.01  # of the mapping's learning rate: section 4.1 of the first StyleGAN
_EPS = 1e-8


class Styled(nn.Module):
    """z → w → styles → pictures (b, 3, s, s), about [-1, 1].

    w_avg and w_std (d,) say where w lies; whoever trains measures them.
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, shape: Any, synthesis: Callable[[Any], nn.Module]) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = Mapping(shape.width, shape.mapping_layers)
        self.synthesis: Any = synthesis(shape)
        self.register_buffer("w_avg", torch.zeros(shape.width))
        self.register_buffer("w_std", torch.ones(shape.width))

    def repeated(self, w: Tensor) -> Tensor:
        """w (b, d) → w+ (b, layers, d), one w for all layers."""
        return w[:, None].expand(-1, self.shape.layers, -1)

    def truncated(self, w: Tensor, psi: float) -> Tensor:
        """w, of any shape (…, d), brought nearer to its mean: w̄ + ψ·(w − w̄)."""
        return torch.lerp(self.w_avg, w, psi)

    def forward(self, w_plus: Tensor, noise: Tensor) -> Tensor:
        """w+ (b, layers, d) and noise (b or 1, n), n 0 for StyleGAN3, → pictures."""
        pictures: Tensor = self.synthesis(self.synthesis.styles(w_plus), noise)
        return pictures


class Mapping(nn.Module):
    """z (b, d) → w (b, d), d `width`."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        for i in range(self.layers):
            layer = Linear(width, width, gain=GAIN, rate=_MAPPING_RATE)
            self.add_module(f"fc{i}", layer)

    def forward(self, z: Tensor) -> Tensor:
        with float32(z):
            w = z * (z.square().mean(1, keepdim=True) + _EPS).rsqrt()
            for i in range(self.layers):
                w = activate(self.get_submodule(f"fc{i}")(w))
        return w


def float32(x: Tensor) -> torch.autocast:
    """Without autocast: what says where w lies is too fine for eight bits."""
    return torch.autocast(x.device.type, enabled=False)
