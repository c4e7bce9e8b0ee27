import numpy as np
import pytest
import torch
from torch import nn

from limner.training._spectral import baked, normalise, orthogonality


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5), nn.Linear(5, 2)
    )


def lengths(network):
    """The greatest singular value of every weight, by numpy."""
    weights = [m.weight for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    return [np.linalg.svd(w.detach().flatten(1).numpy(), compute_uv=False)[0] for w in weights]


@pytest.mark.parametrize("half", [False, True])
def test_normalised_weights_have_length_one(half):
    network, x = net(), torch.randn(4, 3, 4, 4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(7)
    normalise(network)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        for _ in range(300):
            network(x)
    network.eval()
    assert max(lengths(network)) <= 1.001
    np.testing.assert_allclose(lengths(network), 1, atol=1e-3)


def test_what_is_left_out_stays():
    network = net()
    kept = network[3].weight.detach().clone()
    normalise(network, but=[network[3]])
    network(torch.randn(4, 3, 4, 4))
    assert torch.equal(network[3].weight, kept)


def test_baked_weights_have_length_one_exactly_and_are_copies():
    network, x = net(), torch.randn(4, 3, 4, 4)
    normalise(network, but=[network[3]])
    raw = {n: p.detach().clone() for n, p in network.named_parameters()}
    with torch.device("meta"):
        plain = net()
    plain = baked(network, plain)
    np.testing.assert_allclose(lengths(plain)[:2], 1, atol=1e-6)
    for i in (0, 2):
        original = raw[f"{i}.parametrizations.weight.original"].numpy()
        length = np.linalg.norm(original.reshape(len(original), -1), 2)
        np.testing.assert_allclose(plain[i].weight, original / length, rtol=1e-5)
    assert torch.equal(plain[3].weight, network[3].weight)
    for _ in range(300):
        said = network(x)
    torch.testing.assert_close(plain(x), said, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        plain[3].weight.zero_()
        plain[0].bias.zero_()
    assert network[3].weight.any() and network[0].bias.any()


def test_orthogonality_is_the_sum_over_rows_that_are_not():
    network = net()
    normalise(network, but=[network[3]])
    total = 0.0
    for i in (0, 2):
        rows = network[i].parametrizations.weight.original.detach().flatten(1).numpy()
        products = rows @ rows.T
        total += (products**2).sum() - (np.diag(products) ** 2).sum()
    said = orthogonality(network)
    assert said.item() == pytest.approx(total, rel=1e-5)
    said.backward()
    assert network[0].parametrizations.weight.original.grad.any()
    with torch.no_grad():
        for i in (0, 2):
            nn.init.orthogonal_(network[i].parametrizations.weight.original).mul_(3)
    assert orthogonality(network).item() == pytest.approx(0, abs=1e-6)
