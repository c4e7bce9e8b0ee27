import math

import pytest
import torch

from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import CLEAN, Level, alpha_bars, timestep_of, vp_level, zero_terminal

TABLE = alpha_bars("scaled_linear")
WORDS = torch.zeros(2, 3, 8)
X0, N = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()

# What a network that knows x0 and n says at its own level.
TRUTH = {
    "epsilon": lambda level: N,
    "v_prediction": lambda level: level.alpha * N - level.sigma * X0,
    "sample": lambda level: X0,
    "flow": lambda level: N - X0,
}


def level_in(family, ratio):
    scale = {"vp": math.hypot(1, ratio), "ve": 1.0, "flow": 1 + ratio}[family]
    return Level(1 / scale, ratio / scale)


@pytest.mark.parametrize("prediction", TRUTH)
@pytest.mark.parametrize("family", ["vp", "ve", "flow"])
@pytest.mark.parametrize("timestep", [0, 500, 999])
def test_finds_x0_from_any_family_of_levels(prediction, family, timestep):
    ratio = vp_level(float(TABLE[timestep])).ratio
    own = level_in("flow" if prediction == "flow" else "vp", ratio)
    told = {}

    def knows(x, timesteps, condition):
        told.update(x=x, timesteps=timesteps, condition=condition)
        return TRUTH[prediction](own)

    level = level_in(family, ratio)
    network = Network(Plain(knows), prediction, None if prediction == "flow" else TABLE)
    words = WORDS.double()
    got = network(level.alpha * X0 + level.sigma * N, level, words)
    torch.testing.assert_close(got, X0, rtol=0, atol=1e-12)
    # The network sees x at its own scale, its own clock and the words as they came.
    torch.testing.assert_close(told["x"], own.alpha * X0 + own.sigma * N, rtol=0, atol=1e-12)
    clock = 1000 * level.time if prediction == "flow" else timestep
    assert told["timesteps"].tolist() == pytest.approx([clock] * 2, rel=1e-6)
    assert told["timesteps"].dtype == torch.float32 and told["condition"] is words


def test_starts_from_pure_noise_where_the_mathematics_allows():
    pure = Level(0.0, 1.0)
    for prediction in ("v_prediction", "sample", "flow"):
        table = None if prediction == "flow" else zero_terminal(TABLE)
        said = TRUTH[prediction](pure)
        network = Network(Plain(lambda x, t, c, said=said: said), prediction, table)
        torch.testing.assert_close(network(N, pure, WORDS.double()), X0)


def test_epsilon_from_pure_noise_is_refused():
    network = Network(Plain(lambda x, t, c: x), "epsilon", zero_terminal(TABLE))
    with pytest.raises(BadInput, match="alpha 0"):
        network(N, Level(0.0, 1.0), WORDS)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow"])
def test_at_clean_x_is_x0_whatever_the_network_says(prediction):
    network = Network(Plain(lambda x, t, c: 7 * x), prediction, TABLE)
    torch.testing.assert_close(network(X0, CLEAN, WORDS.double()), X0)


def test_between_timesteps_the_clock_is_fractional():
    told = []
    network = Network(Plain(lambda x, t, c: told.append(float(t[0])) or x), "sample", TABLE)
    level = Level(1.0, 3.21)
    network(X0, level, WORDS)
    assert told == [pytest.approx(timestep_of(TABLE, level))] and told[0] != round(told[0])


def test_runs_in_the_condition_s_type_and_answers_in_that_of_x():
    seen = []
    network = Network(Plain(lambda x, t, c: seen.append((x.dtype, t.dtype)) or x), "sample", TABLE)
    got = network(X0.float(), level_in("vp", 1.0), WORDS.bfloat16())
    assert seen == [(torch.bfloat16, torch.float32)] and got.dtype == torch.float32


def test_calls_a_diffusers_unet_as_its_pipelines_do():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    ).requires_grad_(False)
    x, level = X0.float(), vp_level(float(TABLE[321]))
    said = unet(x, 321, encoder_hidden_states=WORDS).sample
    expected = (x - level.sigma * said) / level.alpha
    torch.testing.assert_close(Network(unet, "epsilon", TABLE)(x, level, WORDS), expected)


@pytest.mark.parametrize(
    "prediction, table, match",
    [("velocity", TABLE, "choose one of epsilon"), ("epsilon", None, "alpha_bars")],
)
def test_refuses_what_it_cannot_read(prediction, table, match):
    with pytest.raises(BadInput, match=match):
        Network(Plain(lambda x, t, c: x), prediction, table)
