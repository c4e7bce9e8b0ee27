import pytest
import torch

from limner.denoisers.cfg import CFG
from limner.denoisers.network import Network, Plain
from limner.errors import BadInput
from limner.levels import CLEAN, Level, alpha_bars, vp_level

TABLE = alpha_bars("scaled_linear")
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
WORDS = torch.full((2, 3, 8), 0.7).double()
EMPTY = torch.full((1, 3, 8), -0.4).double()


def paints(x, timesteps, condition):
    """A network that listens to its words, each picture to its own."""
    return torch.sin(3 * x + condition.mean((1, 2)).reshape(-1, 1, 1, 1))


def watched(prediction="epsilon"):
    batches = []

    def counts(x, timesteps, condition):
        batches.append(len(x))
        return paints(x, timesteps, condition)

    return Network(Plain(counts), prediction, TABLE), batches


@pytest.mark.parametrize("scale", [0.0, 4.0, -1.0])
def test_is_guidance_of_what_the_network_says(scale):
    """Ho & Salimans' ε_u + w·(ε_c − ε_u), taken to x0 afterwards, from one doubled batch."""
    network, batches = watched()
    level = vp_level(float(TABLE[600]))
    got = CFG(network, WORDS, EMPTY, scale)(X, level)
    without, with_ = (paints(X, None, words.expand(2, -1, -1)) for words in (EMPTY, WORDS))
    said = without + scale * (with_ - without)
    torch.testing.assert_close(got, (X - level.sigma * said) / level.alpha)
    assert batches == [4]


def test_scale_1_and_levels_outside_the_interval_cost_half():
    network, batches = watched()
    levels = [Level(1 - t, t) for t in (0.1, 0.3, 0.5, 0.7, 0.9)]
    plain = [network(X, level, WORDS) for level in levels]
    batches.clear()
    guided = [CFG(network, WORDS, EMPTY, 4.0, interval=(0.3, 0.7))(X, level) for level in levels]
    assert batches == [2, 4, 4, 4, 2]
    assert [torch.equal(a, b) for a, b in zip(plain, guided)] == [True, False, False, False, True]
    batches.clear()
    assert torch.equal(CFG(network, WORDS, EMPTY, 1.0)(X, levels[2]), plain[2])
    assert batches == [2]


@pytest.mark.parametrize("by", [0.3, 0.7, 1.0])
def test_rescale_is_diffusers_for_a_v_network(by):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    network, _ = watched("v_prediction")
    level = vp_level(float(TABLE[600]))
    got = CFG(network, WORDS, EMPTY, 5.0, rescale=by)(X, level)
    without, with_ = (paints(X, None, words.expand(2, -1, -1)) for words in (EMPTY, WORDS))
    said = rescale_noise_cfg(without + 5 * (with_ - without), with_, guidance_rescale=by)
    torch.testing.assert_close(got, level.alpha * X - level.sigma * said)


def test_rescale_is_the_same_at_any_scale_of_x_and_holds_at_the_ends():
    network, _ = watched("v_prediction")
    guided = CFG(network, WORDS, EMPTY, 5.0, rescale=0.7)
    vp = vp_level(float(TABLE[600]))
    ve = Level(1.0, vp.ratio)
    torch.testing.assert_close(guided(X, vp), guided(X / vp.alpha, ve))
    assert guided(X, Level(0.0, 1.0)).isfinite().all()
    torch.testing.assert_close(guided(X, CLEAN), X)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"interval": (0.7, 0.3)}, "from"),
        ({"interval": (0.0, 1.5)}, "from"),
        ({"rescale": 2.0}, "from 0 to 1"),
        ({"scale": float("nan")}, "finite"),
    ],
)
def test_refuses_what_makes_no_sense(options, match):
    with pytest.raises(BadInput, match=match):
        CFG(watched()[0], WORDS, EMPTY, **{"scale": 2.0, **options})


def test_says_the_shapes_of_conditions_that_do_not_fit():
    with pytest.raises(BadInput, match=r"\(1, 5, 8\), \(2, 3, 8\)"):
        CFG(watched()[0], WORDS, torch.zeros(1, 5, 8), 2.0)(X, Level(0.5, 0.5))
    with pytest.raises(BadInput, match=r"for 2 pictures"):
        CFG(watched()[0], torch.zeros(3, 3, 8), EMPTY, 2.0)(X, Level(0.5, 0.5))
