"""What every sampler of the room owes, whatever its method."""

import inspect

import pytest
import torch

from limner._rooms import find, names
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import CLEAN, Level, alpha_bars, flow_levels, karras_levels, vp_levels
from limner.noise import Noise
from limner.samplers import Sampler

SAMPLERS = names("samplers")
every = pytest.mark.parametrize("name", SAMPLERS)
LEVELS = {
    "vp": vp_levels(alpha_bars("cosine"), 7),
    "ve": karras_levels(7, 0.03, 15.0),
    "flow": flow_levels(7, 3.0),
}


def test_are_those_of_the_page():
    assert SAMPLERS == [
        "ddim", "ddpm", "dpmpp_2m", "dpmpp_sde", "euler", "euler_ancestral", "heun", "lcm",
        "predictor_corrector",
    ]  # fmt: skip


@every
def test_takes_what_the_protocol_says(name):
    asked = inspect.signature(Sampler.__call__).parameters
    given = inspect.signature(find("samplers", name)).parameters
    for key in set(asked) - {"self"}:
        assert given[key].kind == asked[key].kind and given[key].default == asked[key].default
    for key in set(given) - set(asked):
        assert given[key].default is not inspect.Parameter.empty


@every
@pytest.mark.parametrize("family", LEVELS)
def test_yields_every_step_and_ends_clean(name, family, mixture):
    levels, noise = LEVELS[family], Noise(0, range(2))
    x = levels[0].sigma * noise.normal((1, 2, 2))
    states = list(find("samplers", name)(mixture, x, levels, noise=noise))
    assert [s.step for s in states] == [1, 2, 3, 4, 5, 6, 7]
    assert [s.level for s in states] == levels[1:]
    torch.testing.assert_close(states[-1].x, states[-1].denoised)  # at CLEAN x is x0
    for state in states:
        assert state.x.shape == state.denoised.shape == (2, 1, 2, 2)
        assert state.x.dtype == torch.float32 and bool(state.x.isfinite().all())


@every
def test_a_picture_is_the_same_alone_and_in_a_batch(name):
    """With a network that handles pictures one by one, to the last bit."""
    levels = vp_levels(alpha_bars("scaled_linear"), 6)
    network = Network(
        Plain(lambda x, t, c: torch.tanh(x) * 0.5), "epsilon", alpha_bars("scaled_linear")
    )

    def end(samples):
        noise = Noise(9, samples)
        x = noise.normal((4, 8, 8))
        condition = torch.zeros(len(samples), 1, 1)
        *_, state = find("samplers", name)(
            lambda x, level: network(x, level, condition), x, levels, noise=noise
        )
        return state.x

    batch = end([3, 1, 4, 5])
    for row, sample in enumerate([3, 1, 4, 5]):
        assert torch.equal(end([sample])[0], batch[row])


@every
@pytest.mark.parametrize("family", LEVELS)
def test_goes_on_from_any_state_bit_for_bit(name, family, mixture):
    sampler, levels, noise = find("samplers", name), LEVELS[family], Noise(2, range(2))
    x = levels[0].sigma * noise.normal((1, 2, 2))
    states = list(sampler(mixture, x, levels, noise=noise))
    for state in states[:-1]:
        rest = list(
            sampler(
                mixture,
                state.x,
                levels,
                noise=noise,
                start=state.step,
                previous=state.denoised,
            )
        )
        assert [s.step for s in rest] == [s.step for s in states[state.step :]]
        for now, then in zip(rest, states[state.step :]):
            assert torch.equal(now.x, then.x) and torch.equal(now.denoised, then.denoised)


@every
def test_refuses_levels_that_do_not_fall_and_starts_outside(name, mixture):
    sampler, noise = find("samplers", name), Noise(0, [0])
    x = noise.normal((1, 2, 2))
    with pytest.raises(BadInput, match="must fall"):
        list(sampler(mixture, x, [CLEAN, Level(0.0, 1.0)], noise=noise))
    with pytest.raises(BadInput, match="must fall"):
        list(sampler(mixture, x, [Level(0.0, 1.0), CLEAN, CLEAN], noise=noise))
    with pytest.raises(BadInput, match="start 3"):
        list(sampler(mixture, x, [Level(0.0, 1.0), CLEAN], noise=noise, start=3))
