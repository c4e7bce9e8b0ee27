"""Layers with packed weights say what torch's own say, whatever is done to them in between."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from limner.models import _packed
from limner.models._packed import Conv2d, GroupNorm, Linear

TYPES = (torch.float32, torch.bfloat16)


def layers(dtype: torch.dtype) -> list[tuple[nn.Module, Tensor]]:
    torch.manual_seed(3)
    picture = torch.randn(2, 16, 12, 10, dtype=dtype).to(memory_format=torch.channels_last)
    made: list[tuple[nn.Module, Tensor]] = [
        (Conv2d(16, 24, 3, padding=1), picture),
        (Conv2d(16, 8, 3, stride=2), picture),
        (Conv2d(16, 8, 1, bias=False), picture.contiguous()),
        (Linear(10, 6), picture),
        (Linear(10, 6, bias=False), picture[0, 0]),
        (GroupNorm(4, 16, 1e-5), picture * 3 + 1),
        (GroupNorm(4, 16, 1e-6), picture[:, :, :3, :3]),
    ]
    for layer, _ in made:
        for weight in layer.parameters():
            nn.init.normal_(weight, 0.1, 0.3)
    return [(layer.to(dtype), given) for layer, given in made]


def plain(layer: nn.Module, x: Tensor) -> Tensor:
    """What torch's class says with the same weights, in float64."""
    bias = layer.bias is not None
    theirs: nn.Module
    if isinstance(layer, Conv2d):
        outer, inner, side, _ = layer.weight.shape
        theirs = nn.Conv2d(inner, outer, side, layer.stride, layer.padding, bias=bias)
    elif isinstance(layer, Linear):
        theirs = nn.Linear(*layer.weight.shape[::-1], bias=bias)
    else:
        theirs = nn.GroupNorm(layer.groups, len(layer.weight), layer.eps)
    theirs.load_state_dict(layer.state_dict())
    return theirs.double()(x.double())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("which", range(7))
def test_it_is_torchs_layer(dtype: torch.dtype, which: int) -> None:
    layer, x = layers(dtype)[which]
    error = 1e-5 if dtype == torch.float32 else 3e-2
    with torch.no_grad():
        for _ in range(2):  # packing, and packed
            said = layer(x)
            assert said.dtype == dtype
            torch.testing.assert_close(said.double(), plain(layer, x), atol=error, rtol=error)


@pytest.mark.parametrize("which", (0, 3))
def test_other_weights_another_size_and_a_copy(which: int) -> None:
    layer, x = layers(torch.float32)[which]
    with torch.no_grad():
        before = layer(x)
        layer.weight.mul_(2)
        assert not torch.allclose(layer(x), before)
        torch.testing.assert_close(layer(x), plain(layer, x).float(), atol=1e-5, rtol=1e-5)
        layer.weight = nn.Parameter(torch.randn_like(layer.weight))
        torch.testing.assert_close(layer(x), plain(layer, x).float(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer(x[:1]), plain(layer, x[:1]).float(), atol=1e-5, rtol=1e-5)
        twin = copy.deepcopy(layer).to(torch.bfloat16)
        assert twin(x.bfloat16()).dtype == torch.bfloat16
        layer.load_state_dict({name: w / 3 for name, w in layer.state_dict().items()})
        torch.testing.assert_close(layer(x), plain(layer, x).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("which", (0, 3, 5))
def test_gradients_flow(which: int) -> None:
    layer, x = layers(torch.float32)[which]
    x = x.clone().requires_grad_()
    (ours,) = torch.autograd.grad(layer(x).square().sum(), x)
    wide = x.detach().double().requires_grad_()
    (theirs,) = torch.autograd.grad(plain(layer, wide).square().sum(), wide)
    torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


def test_packing_happens_only_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = layers(torch.float32)[0]
    with torch.no_grad():
        layer(x)
        assert layer._blocks.weights is not None
        layer, x = layers(torch.float32)[0]
        monkeypatch.setattr(_packed, "_can_pack", lambda dtype: False)
        torch.testing.assert_close(layer(x), plain(layer, x).float(), atol=1e-5, rtol=1e-5)
        assert layer._blocks.weights is None
