"""Large weights kept in eight bits, and brought back to floating numbers while their layer runs.

Half the memory of bfloat16, at the cost of one pass over the weights a step. Each row of a weight
has a step of its own (as in `_eight_bits.py`, which rounds what goes in, too, and is faster where a
network is compiled); biases, norms and tables stay exact.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["nowhere", "round_weight", "roundable"]

_LARGE = 2**16  # numbers of a weight
_LAYERS = ("Linear", "Conv2d")  # torch's, and limner's own of those names
_TINY = 1e-12


def roundable(network: nn.Module) -> dict[str, nn.Module]:
    """The layers whose weights may be rounded, by the weights' names.

    Not those whose weight is looked at from outside: upsampling's, which is unfolded at odd sizes.
    """
    return {
        f"{name}.weight": module
        for name, module in network.named_modules()
        if type(module).__name__ in _LAYERS
        and module.weight.numel() >= _LARGE  # type: ignore[union-attr, operator]
        and ".upsamplers." not in name
    }


def nowhere(like: Tensor) -> Tensor:
    """A tensor that says all but its numbers, which are none."""
    return like.new_full((), math.nan).expand(like.shape) if like.is_floating_point() else like


def round_weight(layer: nn.Module, weight: Tensor) -> Tensor:
    """Keeps a layer's weight (outer, …) in eight bits. Gives what to put in its place meanwhile."""
    wide = weight.float()
    steps = (wide.flatten(1).abs().amax(1) / 127).clamp(min=_TINY)
    steps = steps.view(-1, *[1] * (weight.ndim - 1))
    numbers = (wide / steps).round().to(torch.int8)
    steps = steps.to(weight.dtype)

    def come(module: Any, given: Any) -> None:
        module.weight.data = numbers.to(steps.dtype).mul_(steps)

    def leave(module: Any, given: Any, said: Any) -> None:
        module.weight.data = nowhere(module.weight.data)
        blocks = getattr(module, "_blocks", None)
        if blocks is not None:
            blocks.forget()

    layer.register_forward_pre_hook(come)
    layer.register_forward_hook(leave, always_call=True)
    return nowhere(weight)
