import pytest
import torch
from torch.nn import functional as F

from limner.nets.bag_of_words import BagOfWords

START, END = 8, 9


def tower(**changes):
    torch.manual_seed(0)
    return BagOfWords(10, 6, **{"output_dim": 5, "end": END} | changes)


@pytest.mark.parametrize("mean", [True, False])
def test_gathers_what_stands_before_the_end(mean):
    net = tower(mean=mean)
    ids = torch.tensor([[START, 1, 2, END, END], [START, 3, 3, 4, END]])
    table = net.token_embedding.weight
    bags = [[START, 1, 2], [START, 3, 3, 4]]
    gathered = torch.stack([table[bag].mean(0) if mean else table[bag].sum(0) for bag in bags])
    expected = F.layer_norm(gathered, (6,)) @ net.projection.weight.T
    assert net(ids).shape == (2, 5)
    torch.testing.assert_close(net(ids), expected)


def test_order_and_padding_change_nothing_and_words_do():
    net = tower()
    here = net(torch.tensor([[START, 1, 2, 3, END]]))
    torch.testing.assert_close(net(torch.tensor([[START, 3, 1, 2, END, END, END]])), here)
    torch.testing.assert_close(net(torch.tensor([[START, 3, 1, 2, END, 0, 0]])), here)
    assert (net(torch.tensor([[START, 3, 1, 1, END]])) - here).abs().max() > 0.01


def test_an_empty_caption_has_a_vector():
    assert tower()(torch.tensor([[START, END]])).norm() > 0.1


def test_gradients_reach_the_words_seen_and_no_others():
    net = tower()
    (net(torch.tensor([[START, 1, END, 5]])) ** 3).sum().backward()
    reached = net.token_embedding.weight.grad.abs().sum(dim=1) > 0
    assert reached.nonzero().flatten().tolist() == [1, START]
    assert net.projection.weight.grad.abs().sum() > 0


def test_a_caption_without_an_end_counts_whole():
    net = tower()
    here = net(torch.tensor([[START, 1, 2]]))
    torch.testing.assert_close(net(torch.tensor([[START, 1, 2, END]])), here)
