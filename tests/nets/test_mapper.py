"""The mapper's parts, against the same in numpy."""

from __future__ import annotations

import numpy as np
import torch

from limner.nets.mapper import Mapper
from limner.noise import Noise

NOISE = Noise(0, range(2))


def made(layers: int, width: int = 6) -> Mapper:
    torch.manual_seed(1)
    return Mapper(layers, width).double()


def by_hand(part: torch.nn.Module, w: np.ndarray) -> np.ndarray:
    """Unit mean square, then four layers of √2·leaky(W/√d·.1·w + .1·b), the gain in front."""
    x = w / np.sqrt((w**2).mean(-1, keepdims=True) + 1e-8)
    for layer in part.children():
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        x = np.sqrt(2) * 0.1 * (x @ weight.T / np.sqrt(weight.shape[1]) + bias)
        x = np.where(x > 0, x, 0.2 * x)
    return x


def test_each_part_reads_and_moves_its_own_rows() -> None:
    mapper, w_plus = made(11), NOISE.normal((11, 6)).double()
    with torch.no_grad():
        for name, parameter in mapper.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(Noise(2, [0]).normal(parameter.shape, purpose=name)[0])
    assert [name for name, _ in mapper.named_children()] == ["coarse", "medium", "fine"]
    rows = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, 11)}
    found = mapper(w_plus).detach()
    for name, own in rows.items():
        wanted = 0.1 * by_hand(mapper.get_submodule(name), w_plus[:, own].numpy())
        np.testing.assert_allclose(found[:, own].numpy(), wanted, rtol=1e-10)
    assert len(list(mapper.coarse.children())) == 4


def test_a_generator_of_few_layers_has_fewer_parts() -> None:
    for layers, parts in ((4, 1), (6, 2), (8, 2), (10, 3)):
        mapper = made(layers)
        assert len(list(mapper.children())) == parts
        assert mapper(NOISE.normal((layers, 6)).double()).shape == (2, layers, 6)


def test_an_edit_begins_near_the_picture() -> None:
    change = made(10, 128)(NOISE.normal((10, 128)).double()).detach()
    assert 0.02 < float(change.square().mean().sqrt()) < 0.2
