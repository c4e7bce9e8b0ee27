"""Layers that keep their weights as the CPU's kernels want them.

torch hands convolutions and matrix products to oneDNN, which brings the weights into blocks before
every call. At the size of a latent that takes as long as the arithmetic (measured in
`docs/measurements.md`), so the layers here keep the blocks. The operators are those to which
torch.compile with freezing comes down; where they are missing, and wherever gradients are wanted or
torch is compiling, the weights stay as they are.

A layer that is given a `zero` (see `_eight_bits.py`) is a large one: compiled in bfloat16, and only
then, it computes in eight bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models import _eight_bits
from limner.models._stored import Stored

__all__ = ["Conv2d", "GroupNorm", "Linear"]

_SLOW_FROM, _SLOW_TO = 64, 1024  # pixels of a map for which torch's norm gathers each group
_SMALL = 1024  # pixels of a map up to which laying out a convolution's weights takes a share
_WIDE = 32  # channels of a group that fill a vector


def _runs_packed(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.is_cpu
        and x.dtype == weight.dtype
        and _can_pack(x.dtype)
    )


@cache  # asked for by every layer at every step
def _can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have the operators for a type of numbers."""
    if not torch.backends.mkldnn.is_available() or dtype not in (torch.float32, torch.bfloat16):
        return False
    ops = torch.ops.mkldnn
    known = hasattr(ops, "_convolution_pointwise") and hasattr(ops, "_linear_pointwise")
    return known and (dtype == torch.float32 or ops._is_mkldnn_bf16_supported())


def _runs_rounded(x: Tensor) -> bool:
    return (
        torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.is_cpu
        and x.dtype == torch.bfloat16
    )


class _Blocks:
    """A layer's weights in blocks, made again when the weights or what they are for change."""

    def __init__(self) -> None:
        self.made_for: tuple[Any, ...] | None = None
        self.weights: Tensor | None = None

    def of(self, weight: Tensor, use: tuple[int, ...], make: Callable[[Tensor], Tensor]) -> Tensor:
        made_for = (weight.data_ptr(), weight._version, weight.dtype, use)
        if self.weights is None or self.made_for != made_for:
            self.weights, self.made_for = make(weight.detach()), made_for
            if isinstance(file := getattr(weight, "stored_in", None), Stored):
                file.give_back(weight)  # nobody needs it twice
        return self.weights

    def forget(self) -> None:
        """The blocks' memory."""
        self.weights = self.made_for = None

    def __deepcopy__(self, known: dict[int, Any]) -> _Blocks:
        return _Blocks()  # blocks cannot be copied, and a copy's weights may go elsewhere


class Conv2d(nn.Module):
    """torch's, for squares of weights and zeros around; the weights come from a file."""

    def __init__(
        self,
        inner: int,
        outer: int,
        side: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        zero: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outer, inner, side, side))
        self.bias = nn.Parameter(torch.empty(outer)) if bias else None
        self.stride, self.padding = [stride, stride], [padding, padding]
        self.zero = zero if _eight_bits.possible() else None
        self._blocks = _Blocks()

    def forward(self, x: Tensor) -> Tensor:
        """(b, inner, h, w) → (b, outer, h', w')."""
        if self.zero is not None and _runs_rounded(x):
            step, around, zero = self.stride, self.padding, self.zero
            return _eight_bits.conv2d(x, self.weight, self.bias, step, around, zero)
        if x.shape[2] * x.shape[3] > _SMALL or not _runs_packed(x, self.weight):
            return functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        where = (self.padding, self.stride, [1, 1], 1)

        def make(weight: Tensor) -> Tensor:
            reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # type: ignore[attr-defined]
            plain: Any = weight
            blocks: Tensor = reorder(plain.to_mkldnn(), *where, list(x.shape))
            return blocks

        weight = self._blocks.of(self.weight, tuple(x.shape), make)
        run = torch.ops.mkldnn._convolution_pointwise
        said: Tensor = run(x, weight, self.bias, *where, "none", [], "")
        return said


class Linear(nn.Module):
    """torch's; the weights come from a file."""

    def __init__(
        self, inner: int, outer: int, *, bias: bool = True, zero: int | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outer, inner))
        self.bias = nn.Parameter(torch.empty(outer)) if bias else None
        self.zero = zero if _eight_bits.possible() else None
        self._blocks = _Blocks()

    def forward(self, x: Tensor) -> Tensor:
        """(…, inner) → (…, outer)."""
        if self.zero is not None and _runs_rounded(x):
            return _eight_bits.linear(x, self.weight, self.bias, self.zero)
        if not _runs_packed(x, self.weight):
            return functional.linear(x, self.weight, self.bias)
        rows = x.numel() // x.shape[-1]

        def make(weight: Tensor) -> Tensor:
            blocks: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
            return blocks

        weight = self._blocks.of(self.weight, (rows,), make)
        said: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, self.bias, "none", [], "")
        return said


class GroupNorm(nn.Module):
    """torch's, by way of channels first where its kernel for channels last is slow.

    In bfloat16 that kernel gathers the few channels of a group at each pixel of a small map one by
    one: the way to channels first and back is up to five times faster.
    """

    def __init__(self, groups: int, width: int, eps: float) -> None:
        super().__init__()
        if not isinstance(groups, int) or groups < 1 or width % groups:
            raise BadInput(f"a width of {width} cannot be split among {groups} groups")
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.groups, self.eps = groups, eps
        self.narrow = width // groups < _WIDE

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) → its like."""
        pixels = x.shape[2] * x.shape[3]
        slow = self.narrow and x.dtype == torch.bfloat16 and _SLOW_FROM <= pixels < _SLOW_TO
        around = slow and x.is_cpu and not torch.compiler.is_compiling()
        given = x.contiguous() if around else x
        normed = functional.group_norm(given, self.groups, self.weight, self.bias, self.eps)
        return normed.contiguous(memory_format=torch.channels_last) if around else normed
