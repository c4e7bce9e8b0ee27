import pytest
import torch

from limner.denoisers.drawn import Drawn
from limner.errors import BadInput
from limner.levels import Level, flow_levels
from limner.noise import Noise

LEVELS = flow_levels(4)[:-1]


def made(samples):
    return Drawn(
        lambda x, k, z: x + z.mean(1)[:, None, None, None] + k, LEVELS, Noise(3, samples), 5
    )


def test_z_is_the_picture_s_and_the_level_s_own():
    x = torch.zeros(2, 1, 2, 2)
    both = [made([4, 7])(x, level) for level in LEVELS]
    z = [float(part[0].mean()) - k for k, part in enumerate(both)]
    assert len(set(z)) == 4
    for k, level in enumerate(LEVELS):
        assert torch.equal(made([7])(x[:1], level), both[k][1:])
        assert torch.equal(made([4, 7])(x, level), both[k])
        wanted = Noise(3, [4, 7]).normal((5,), step=k, purpose="z").mean(1) + k
        torch.testing.assert_close(both[k][:, 0, 0, 0], wanted)


def test_the_same_level_in_another_family_is_known_and_others_are_not():
    level = LEVELS[1]
    assert torch.equal(
        made([0])(torch.zeros(1, 1, 2, 2), Level(level.alpha * 2, level.sigma * 2)),
        made([0])(torch.zeros(1, 1, 2, 2), level),
    )
    with pytest.raises(BadInput, match="knows 4 levels"):
        made([0])(torch.zeros(1, 1, 2, 2), Level(0.5, 0.4))
