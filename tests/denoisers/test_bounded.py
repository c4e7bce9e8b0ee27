import torch

from limner.denoisers.bounded import Bounded
from limner.levels import Level


def test_what_lies_outside_is_brought_to_the_border():
    told = torch.zeros(1, 1, 1)
    x = torch.linspace(-3, 3, 7).view(1, 1, 1, -1)
    bounded = Bounded(lambda x, level, condition: x + condition)
    assert torch.equal(bounded(x, Level(0.5, 0.5), told), x.clamp(-1, 1))
    wider = Bounded(bounded.network, 2.5)
    assert torch.equal(wider(x, Level(0.5, 0.5), told + 1), (x + 1).clamp(-2.5, 2.5))
