from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from limner.errors import BadInput
from limner.nets.biggan import Attention, ConditionalNorm, Discriminator, Generator, Shape

TINY = Shape(5, (8, 6, 4), noise=3, width=4, attention=8)


def made(kind=Generator, shape=TINY):
    torch.manual_seed(0)
    return kind(shape).double()


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def conditions(net, count=4, seed=1):
    noise, classes = drawn(count, 5, 3, seed=seed), torch.eye(5).double()[torch.arange(count) % 5]
    return net.conditions(noise, classes[:, None].expand(-1, 5, -1))


def test_the_shape_counts_what_the_networks_have():
    net = made()
    assert (TINY.size, TINY.layers, TINY.condition) == (16, 5, 7)
    assert len(net.blocks) + 1 == TINY.layers
    pictures = net(conditions(net))
    assert pictures.shape == (4, 3, 16, 16) and pictures.abs().max() <= 1
    assert sum(p.numel() for p in Generator(Shape(29)).parameters()) < 3_000_000


def test_conditional_norm_is_its_formula():
    torch.manual_seed(1)
    norm, x, condition = ConditionalNorm(6, 3).double(), drawn(4, 6, 5, 5) * 3 + 1, drawn(4, 3)
    said = norm(x, condition).detach().numpy()
    plain = x.numpy()
    mean, var = plain.mean((0, 2, 3), keepdims=True), plain.var((0, 2, 3), keepdims=True)
    gain = 1 + condition.numpy() @ norm.gain.weight.detach().numpy().T
    bias = condition.numpy() @ norm.bias.weight.detach().numpy().T
    wanted = (plain - mean) / np.sqrt(var + 1e-4) * gain[..., None, None] + bias[..., None, None]
    np.testing.assert_allclose(said, wanted, atol=1e-10)


@pytest.mark.parametrize("layer", range(5))
def test_each_layer_is_told_its_own_row_alone(layer):
    """What a row changes begins at its layer: the maps before are the same to the last bit."""
    net = made().eval()
    caught = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, given, said: caught.append(said.detach()))
    told = conditions(net, 2)
    other = told.clone()
    other[:, layer] += 1
    first, second = net(told), net(other)
    before, after = caught[:4], caught[4:]
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [number >= layer for number in range(1, 5)]
    assert not torch.equal(first, second)


def test_classes_are_mixed_where_they_are_mixed():
    net = made()
    noise = drawn(1, 5, 3)
    shares = torch.tensor([0.2, 0.0, 0.5, 0.0, 0.3]).double().expand(1, 5, -1)
    said = net.conditions(noise, shares)
    wanted = net.embedding.weight.detach().numpy() @ shares[0, 0].numpy()
    np.testing.assert_allclose(said[0, 2, 3:].detach(), wanted, atol=1e-12)
    assert torch.equal(said[:, :, :3], noise)


def test_beside_a_block_maps_go_by_and_the_last_are_dropped():
    net = made()
    for block, (inner, outer) in zip(net.blocks[1::2], pairwise(TINY.channels), strict=True):
        torch.nn.init.zeros_(block.convs[-1].weight)
        x = drawn(2, inner, 4, 4)
        wanted = x[:, :outer].numpy().repeat(2, 2).repeat(2, 3)
        np.testing.assert_array_equal(block(x, drawn(2, 7)).detach(), wanted)


def test_in_the_discriminator_maps_go_by_and_lacking_ones_are_added():
    block = made(Discriminator).blocks[0]
    torch.nn.init.zeros_(block.convs[-1].weight)
    x = drawn(2, 4, 6, 6)
    said = block(x).detach().numpy()
    pooled = x.numpy().reshape(2, 4, 3, 2, 3, 2).mean((3, 5))
    np.testing.assert_allclose(said[:, :4], pooled, atol=1e-12)
    weight, bias = block.more.weight[:, :, 0, 0].detach(), block.more.bias.detach()
    more = np.einsum("oi,bihw->bohw", weight, pooled) + bias.numpy()[:, None, None]
    np.testing.assert_allclose(said[:, 4:], more, atol=1e-12)


def test_the_standing_statistics_are_those_of_all_batches():
    """The plain means over batches of each one's mean and unbiased variance."""
    net = made()
    batches = [conditions(net, 4, seed) for seed in range(3)]
    net(batches[2] + 1)  # what training leaves behind is forgotten
    caught = []
    first = net.blocks[0].norms[0].norm
    hook = first.register_forward_pre_hook(lambda module, given: caught.append(given[0].numpy()))
    net.measure(batches)
    hook.remove()
    mean = np.mean([x.mean((0, 2, 3)) for x in caught], 0)
    var = np.mean([x.var((0, 2, 3), ddof=0) * 64 / 63 for x in caught], 0)
    np.testing.assert_allclose(first.running_mean, mean, atol=1e-10)
    np.testing.assert_allclose(first.running_var, var, rtol=1e-10)
    assert not net.training
    together, alone = net(batches[0]), net(batches[0][1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-12, rtol=0)


def test_attention_is_its_formula():
    torch.manual_seed(2)
    attention, x = Attention(8).double(), drawn(2, 8, 4, 4)
    assert torch.equal(attention(x), x), "at first it has no effect"
    attention.strength.data.fill_(0.7)
    plain = x.flatten(2).numpy()

    def through(conv, values):
        return np.einsum("oi,bin->bon", conv.weight[:, :, 0, 0].detach(), values)

    def pooled(values):
        return values.reshape(2, -1, 2, 2, 2, 2).max((3, 5)).reshape(2, -1, 4)

    asked = through(attention.ask, plain)
    keys, values = (pooled(through(conv, plain)) for conv in (attention.key, attention.value))
    scores = np.exp(np.einsum("bcn,bcm->bnm", asked, keys))
    weights = scores / scores.sum(2, keepdims=True)
    found = through(attention.out, np.einsum("bcm,bnm->bcn", values, weights))
    np.testing.assert_allclose(attention(x).flatten(2).detach(), plain + 0.7 * found, atol=1e-10)


def test_the_projection_discriminator_is_its_formula():
    """Equation 3 of Miyato and Koyama: ⟨v_y, φ(x)⟩ + ψ(φ(x)), ψ linear."""
    judge = made(Discriminator)
    pictures, classes = drawn(3, 3, 16, 16), torch.tensor([4, 0, 2])
    caught = []
    judge.blocks[-1].register_forward_hook(lambda module, given, said: caught.append(said))
    said = judge(pictures, classes).detach().numpy()
    phi = np.maximum(caught[0].detach().numpy(), 0).sum((2, 3)) / 4  # √16 places
    table = judge.embedding.weight.detach().numpy()
    psi = phi @ judge.out.weight[0].detach().numpy() + judge.out.bias.item()
    wanted = [psi[row] + table[number] @ phi[row] for row, number in enumerate([4, 0, 2])]
    np.testing.assert_allclose(said, wanted, atol=1e-10)
    assert caught[0].shape == (3, 8, 4, 4)


def test_autocast_s_eight_bits_stay_inside():
    net, judge = made().float(), made(Discriminator).float()
    told = conditions(net.double()).float()
    net = net.float()
    with torch.autocast("cpu", torch.bfloat16):
        pictures = net(told)
        said = judge(pictures, torch.arange(4))
    assert pictures.dtype == said.dtype == torch.float32
    torch.testing.assert_close(said, judge(pictures, torch.arange(4)), atol=0.3, rtol=0.1)
    assert functional.mse_loss(pictures, net(told)) < 0.01


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"channels": (4,)}, "2 to 9 channels"),
        ({"channels": (4, 0)}, "2 to 9 channels"),
        ({"noise": 0}, "2 to 9 channels"),
        ({"channels": (4, 6)}, "none that is more than the one before"),
    ],
)
def test_shapes_that_cannot_be_are_named(wrong, words):
    with pytest.raises(BadInput, match=words):
        Shape(**{"classes": 3, **wrong})
