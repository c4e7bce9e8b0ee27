"""Spectral norms: weights divided by their greatest singular value (Miyato et al. 2018)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["baked", "normalise", "orthogonality"]

Network = TypeVar("Network", bound=nn.Module)

_ORIGINAL, _OTHERS = ".parametrizations.weight.original", ".parametrizations.weight.0."
_LEAST = 1e-12


def normalise(network: nn.Module, but: Collection[nn.Module] = ()) -> None:
    """Have every matrix and convolution divided by its norm where it is used, one step of the
    power iteration each time (algorithm 1); not those of the modules ``but``."""
    for module in list(network.modules()):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Embedding)) and module not in but:
            spectral_norm(module)


def baked(network: Network, plain: Network) -> Network:
    """``plain``, of the same shape and without memory (on torch's meta device), with a copy of the
    weights of a normalised network, divided by their norms, which are exact here."""
    state = {}
    for name, value in network.state_dict().items():
        if name.endswith(_ORIGINAL):
            state[name.replace(_ORIGINAL, ".weight")] = value / _norm(value)
        elif _OTHERS not in name:
            state[name] = value.clone()
    plain.load_state_dict(state, assign=True)
    return plain.eval().requires_grad_(False)


def orthogonality(network: nn.Module) -> Tensor:
    """Σ ‖W·Wᵀ ⊙ (1 − I)‖² over all normalised weights, a row for each output: how far these are
    from orthogonal, whatever their lengths (Brock et al. 2019, equation 3)."""
    total = torch.zeros(())
    for name, weight in network.named_parameters():
        if name.endswith(_ORIGINAL):
            rows = weight.flatten(1)
            products = rows @ rows.T
            total = total.to(products) + products.fill_diagonal_(0).square().sum()
    return total


def _norm(weight: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(weight.flatten(1), 2).clamp(min=_LEAST)
