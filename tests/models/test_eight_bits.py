"""Products in eight bits beside the same in float64, and what they must leave alone."""

from __future__ import annotations

import pytest
import torch
import torch.ao.quantization.fx._decomposed  # the operators
from torch import Tensor
from torch.nn import functional

from limner.models import _eight_bits
from limner.models._eight_bits import EITHER, SILU
from limner.models._packed import Conv2d, Linear


def given(*shape: int) -> Tensor:
    """Rows of very different size."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))
    return (x * torch.logspace(-1, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))).bfloat16()


def decibels(said: Tensor, wanted: Tensor) -> Tensor:
    """Signal to noise of each row."""
    noise = (said.double() - wanted).flatten(1).square().mean(1)
    return 10 * (wanted.flatten(1).square().mean(1) / noise).log10()


def test_a_matrix() -> None:
    x, weight, bias = given(6, 40), given(24, 40), given(24)
    said = _eight_bits.linear(x, weight, bias, EITHER)
    wanted = functional.linear(x.double(), weight.double(), bias.double())
    assert said.dtype == torch.bfloat16
    assert decibels(said, wanted).min() > 35
    assert torch.equal(said[2:3], _eight_bits.linear(x[2:3], weight, bias, EITHER))


@pytest.mark.parametrize("zero", [EITHER, SILU])
def test_a_convolution(zero: int) -> None:
    x, weight, bias = given(3, 16, 6, 5), given(24, 16, 3, 3), given(24)
    x = functional.silu(x) if zero == SILU else x
    how = (weight, bias, [2, 2], [1, 1])
    said = _eight_bits.conv2d(x, *how, zero)
    wanted = functional.conv2d(x.double(), weight.double(), bias.double(), 2, 1)
    assert decibels(said, wanted).min() > 30
    assert torch.equal(said[1:2], _eight_bits.conv2d(x[1:2], *how, zero))


def test_nothing_stays_nothing_and_silu_is_not_cut() -> None:
    bias = given(4)
    nothing = _eight_bits.linear(torch.zeros(2, 8).bfloat16(), given(4, 8), bias, EITHER)
    assert torch.equal(nothing, bias.expand(2, 4))
    low = functional.silu(torch.linspace(-6, 0, 64)).bfloat16().view(1, 1, 8, 8)
    one = torch.ones(1, 1, 1, 1).bfloat16()
    said = _eight_bits.conv2d(low, one, None, [1, 1], [0, 0], SILU)
    assert (said - low).abs().max() < 0.01


def test_only_compiled_layers_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_eight_bits, "possible", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr(_eight_bits, "linear", lambda x, *_: asked.append("linear") or x)
    monkeypatch.setattr(_eight_bits, "conv2d", lambda x, *_: asked.append("conv2d") or x)
    matrix, convolution = Linear(4, 4, zero=EITHER), Conv2d(4, 4, 3, padding=1, zero=SILU)
    for weight in (*matrix.parameters(), *convolution.parameters()):
        torch.nn.init.ones_(weight)

    def run(dtype: torch.dtype) -> list[str]:
        asked.clear()
        matrix.to(dtype)(torch.ones(2, 4, dtype=dtype))
        convolution.to(dtype)(torch.ones(1, 4, 3, 3, dtype=dtype))
        return list(asked)

    assert run(torch.bfloat16) == []
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert run(torch.bfloat16) == []  # somebody wants gradients
    with torch.no_grad():
        assert run(torch.bfloat16) == ["linear", "conv2d"]
        assert run(torch.float32) == []
