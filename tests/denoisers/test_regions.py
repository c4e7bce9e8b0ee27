"""Regions: each part follows its own prompt, as closed forms say; whatever the sampler."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from limner.denoisers.cfg import CFG
from limner.denoisers.compose import Compose
from limner.denoisers.regions import Regions
from limner.errors import BadInput
from limner.levels import Level, flow_levels
from limner.noise import Noise
from limner.samplers.ddim import ddim

MASKS = torch.zeros(2, 4, 6).double()
MASKS[0, :2, :3], MASKS[1, 2:, 4:], MASKS[1, 1, 1] = 1, 0.5, 0.0


@dataclass(frozen=True)
class Gaussian:
    """E[x0 | x] where x0 ~ N(m, s²) at each place, m being the condition's mean: a Conditional."""

    spread: float = 0.5

    def __call__(self, x: Tensor, level: Level, condition: Tensor) -> Tensor:
        mean = condition.mean((1, 2))[:, None, None, None]
        gain = level.alpha * self.spread**2 / (level.alpha**2 * self.spread**2 + level.sigma**2)
        return mean + gain * (x - level.alpha * mean)


def states(value: float) -> Tensor:
    return torch.full((1, 3, 4), value).double()


def regions(**options) -> Regions:
    return Regions(Gaussian(), states(1), [states(2), states(-3)], MASKS, states(0), 2.0, **options)


@pytest.mark.parametrize("time", [0.3, 0.95])
def test_each_place_is_guided_by_its_own_prompt(time):
    level = Level(1 - time, time)
    x = Noise(1, range(3)).normal((2, 4, 6)).double()
    said = regions(alone=1.1)(x, level)
    each = [CFG(Gaussian(), states(m), states(0), 2.0)(x, level) for m in (1, 2, -3)]
    mixed = 0.5 * each[0] + 0.5 * each[2]
    torch.testing.assert_close(said[:, :, :2, :3], each[1][:, :, :2, :3])
    torch.testing.assert_close(said[:, :, 2:, 4:], mixed[:, :, 2:, 4:])
    torch.testing.assert_close(said[:, :, 2:, :4], each[0][:, :, 2:, :4])


def test_a_part_that_is_all_of_it_is_plain_guidance():
    level, x = Level(0.4, 0.6), Noise(1, [0]).normal((2, 4, 6)).double()
    whole = Regions(
        Gaussian(), states(1), [states(2)], torch.ones(1, 4, 6).double(), states(0), 3.0, alone=1.1
    )
    torch.testing.assert_close(
        whole(x, level), Compose(Gaussian(), [states(2)], [3.0], states(0))(x, level)
    )


def test_sampled_each_part_has_its_own_mean():
    levels, noise = flow_levels(40), Noise(2, range(4000))
    denoiser = Regions(
        Gaussian(), states(1), [states(2), states(-3)], MASKS, states(0), 1.0, alone=1.1
    )
    x = noise.normal((1, 4, 6)).double()
    for state in ddim(denoiser, x, levels, noise=noise):
        x = state.x
    assert abs(x[:, :, :2, :3].mean() - 2) < 0.02
    assert abs(x[:, :, 2:, :4].mean() - 1) < 0.02
    assert abs(x[:, :, :2, :3].std() - 0.5) < 0.02


def test_begun_alone_parts_and_rest_do_not_meet():
    """The rest is led away from what the parts say. What the network is asked of a part, recorded:
    outside it x is shifted to that rest by as much as x0 is expected to differ from it there; the
    noise stays."""
    asked = []

    def network(x, level, condition):
        asked.append(x)
        return Gaussian()(x, level, condition)

    level, x = Level(0.1, 0.9), Noise(1, range(2)).normal((2, 4, 6)).double()
    parts = [states(2), states(-3)]
    told = Regions(network, states(1), parts, MASKS, states(0), 2.0, alone=0.8)
    said = told(x, level)
    without, whole, *each = (Gaussian()(x, level, states(m)) for m in (0, 1, 2, -3))
    rest = without + 2 * (whole - without - (sum(each) / 2 - without))
    torch.testing.assert_close(said[:, :, 2:, :4], rest[:, :, 2:, :4])
    outside = MASKS[0] == 0
    wanted = x + level.alpha * (rest - whole)
    torch.testing.assert_close(asked[1][:2][..., outside], wanted[..., outside])
    torch.testing.assert_close(asked[1][:2][..., ~outside], x[..., ~outside])
    asked.clear()
    told(x, Level(0.5, 0.5))
    assert all(torch.equal(each[:2], x) for each in asked)


def test_a_part_may_be_looked_at_through_a_view():
    """The network is asked of the view alone, and what it says counts there by the mask."""
    asked = []

    def network(x, level, condition):
        asked.append(tuple(x.shape[2:]))
        return Gaussian()(x, level, condition)

    views = [(slice(0, 3), slice(0, 4)), (slice(1, 4), slice(2, 6))]
    masks = MASKS.clone()
    masks[1] = 0
    masks[1, 2:, 4:] = 0.5
    level, x = Level(0.4, 0.6), Noise(1, range(2)).normal((2, 4, 6)).double()
    parts = [states(2), states(-3)]
    said = Regions(network, states(1), parts, masks, states(0), 2.0, views)(x, level)
    wanted = Regions(Gaussian(), states(1), parts, masks, states(0), 2.0)(x, level)
    torch.testing.assert_close(said, wanted)  # this denoiser knows no neighbours
    assert asked == [(4, 6), (3, 4), (3, 4)]


@pytest.mark.parametrize(
    ("parts", "masks"),
    [(1, MASKS), (0, MASKS[:0]), (2, torch.ones(2, 4, 6)), (2, -MASKS), (2, MASKS[0])],
)
def test_what_it_refuses(parts, masks):
    with pytest.raises(BadInput):
        Regions(Gaussian(), states(1), [states(2)] * parts, masks, states(0), 2.0)
