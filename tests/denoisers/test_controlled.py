"""Controlled: what the controls say is added, weighted, at their own levels, under every half."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from limner.denoisers.cfg import CFG
from limner.denoisers.controlled import Acting, Controlled
from limner.denoisers.judge import Judge
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.levels import CLEAN, flow_levels
from limner.noise import Noise


def text_of(condition):
    return condition.mean((1, 2))[:, None, None, None]


def network(
    x,
    timesteps,
    *,
    encoder_hidden_states,
    down_block_additional_residuals=None,
    mid_block_additional_residual=None,
):
    """x0 in closed form: what is added counts 1 and 10, and 100 in the middle."""
    said = 0.3 * x + text_of(encoder_hidden_states)
    if down_block_additional_residuals is not None:
        first, second = down_block_additional_residuals
        said = said + first + 10 * second + 100 * mid_block_additional_residual
    return SimpleNamespace(sample=said)


def control(slope):
    """It sees x, the time and the text."""

    def residuals(x, timesteps, *, encoder_hidden_states):
        first = slope * x + 0.001 * timesteps[:, None, None, None] * text_of(encoder_hidden_states)
        return [first, 2 * first], 3 * first

    return residuals


PLAIN = Network(network, "sample", torch.linspace(0.99, 0.01, 100, dtype=torch.float64))
FACTOR = 1 + 10 * 2 + 100 * 3


def states(value):
    return torch.full((1, 3, 4), float(value))


def own(x, level):
    """x as the network sees it, and its timestep."""
    alpha, sigma, timestep = PLAIN._own(level)
    return x * (alpha + sigma) / (level.alpha + level.sigma), timestep


def test_both_halves_of_guidance_are_steered():
    level, x = flow_levels(4)[1], Noise(0, range(3)).normal((2, 4, 4))
    acting = (Acting(control(0.2), 0.5), Acting(control(-0.7), 2.0))
    guided = CFG(Controlled(PLAIN, acting), states(2), states(-1), 3.0)(x, level)
    seen, timestep = own(x, level)

    def said(text):
        added = sum(w * (s * seen + 0.001 * timestep * text) for s, w in ((0.2, 0.5), (-0.7, 2.0)))
        return 0.3 * seen + text + FACTOR * added

    wanted = said(-1) + 3 * (said(2) - said(-1))
    torch.testing.assert_close(guided, wanted, atol=1e-4, rtol=1e-4)


def test_each_steers_at_its_own_levels():
    x = Noise(0, range(1)).normal((2, 4, 4))
    levels = [level for level in flow_levels(4) if level.alpha > 0]
    early = Acting(control(1.0), times=(0.5, 1.0))
    steered = Controlled(PLAIN, (early,))
    for level in levels:
        alone = PLAIN(x, level, states(1))
        acts = level.time > 0.5
        assert torch.equal(steered(x, level, states(1)), alone) != acts
    assert not early.at(CLEAN)
    assert early.at(flow_levels(4)[0])
    ends = Acting(control(1.0), times=(levels[1].time, levels[0].time))
    assert ends.at(levels[0]) and not ends.at(levels[1])
    assert not Acting(control(1.0), weight=0.0).at(levels[0])


def test_judges_pull_through_the_controls():
    """The gradient of a linear loss through the network is that of the closed form."""
    level, x = flow_levels(4)[1], Noise(0, range(2)).normal((3, 4, 4))
    steered = Controlled(PLAIN, (Acting(control(0.2), 0.5),))
    free = CFG(steered, states(1), states(0), 1.0)

    def decode(x0):
        return x0

    class Mean:
        def losses(self, pictures, noise, step):
            yield pictures.mean((1, 2, 3))

    pulled = Judge(free, Mean(), decode, 5.0, Noise(0, range(2)))(x, level)
    scale = own(torch.ones(()), level)[0]
    slope = (0.3 + FACTOR * 0.5 * 0.2) * scale / (3 * 4 * 4)
    wanted = free(x, level) - 5.0 * level.sigma**2 / level.alpha * slope
    torch.testing.assert_close(pulled, wanted, atol=1e-4, rtol=1e-4)


def test_a_network_told_the_guidance_is_told_it_still():
    asked = []

    def told(x, timesteps, *, guidance, **more):
        asked.append(guidance)
        return network(x, timesteps, **more)

    distilled = Network(told, "sample", PLAIN.alpha_bars, guidance=7.0)
    level, x = flow_levels(4)[1], torch.ones(1, 2, 4, 4)
    said = Controlled(distilled, (Acting(control(0.2)),))(x, level, states(1))
    wanted = Controlled(PLAIN, (Acting(control(0.2)),))(x, level, states(1))
    assert torch.equal(said, wanted) and asked == [7.0]


def test_what_it_refuses():
    with pytest.raises(BadInput, match="at least one control"):
        Controlled(PLAIN, ())
