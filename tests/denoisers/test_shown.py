"""Shown: beside the condition what is shown, beside the unconditional nothing; else a Network."""

import pytest
import torch

from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network
from limner.denoisers.shown import Shown
from limner.errors import BadInput
from limner.levels import alpha_bars, flow_levels
from limner.noise import Noise

TABLE = alpha_bars("scaled_linear")


class Said:
    def __init__(self, sample):
        self.sample = sample


def network(x, timesteps, *, encoder_hidden_states):
    """Linear in x's two channels, in the one beside them and in the text."""
    text = encoder_hidden_states.mean((1, 2))[:, None, None, None]
    return Said(x[:, :2] * 0.3 + x[:, 2:] * torch.tensor([1.0, -2.0])[:, None, None] + text)


def states(value):
    return torch.full((1, 3, 4), float(value))


def test_guidance_pulls_towards_what_is_shown():
    torch.manual_seed(0)
    beside, level = torch.randn(1, 1, 4, 4), flow_levels(4)[1]
    x = Noise(0, range(3)).normal((2, 4, 4))
    shown = Shown(Network(network, "sample", TABLE), beside, states(0))
    guided = CFG(shown, states(2), states(0), 3.0)(x, level)
    with_ = Network(network, "sample", TABLE, beside=beside)(x, level, states(2).expand(3, -1, -1))
    nothing = torch.zeros_like(beside)
    without = Network(network, "sample", TABLE, beside=nothing)(
        x, level, states(0).expand(3, -1, -1)
    )
    torch.testing.assert_close(guided, without + 3 * (with_ - without))
    alone = CFG(shown, states(2), states(0), 1.0)(x, level)  # one half alone
    torch.testing.assert_close(alone, with_)


def test_what_it_refuses():
    plain = Network(network, "sample", TABLE)
    with pytest.raises(BadInput, match="beside"):
        Shown(plain, torch.zeros(2, 1, 4, 4), states(0))
    with pytest.raises(BadInput, match="shown nothing else"):
        other = Network(network, "sample", TABLE, beside=torch.zeros(1, 1, 4, 4))
        Shown(other, torch.zeros(1, 1, 4, 4), states(0))
