"""Judge guidance: closed forms of tilted Gaussians and mixtures, differences, rows, refusals."""

import math

import pytest
import torch

from limner._rooms import find
from limner.denoisers.cfg import CFG
from limner.denoisers.compose import Compose
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.denoisers.given import Given
from limner.denoisers.inpaint import Inpaint
from limner.denoisers.judge import Judge
from limner.denoisers.network import Network
from limner.errors import BadInput
from limner.judges.smooth import Smooth
from limner.judges.weighted import Weighted
from limner.levels import Level, karras_levels
from limner.noise import Noise

ONE = Noise(0, [0])
VE = karras_levels(60, 0.01, 80.0)
LEVELS = {
    "vp": [Level(*(part / math.hypot(*level) for part in level)) for level in VE],
    "ve": VE,
    "flow": [Level(1 - t, t) for t in torch.linspace(0.999, 0, 61).tolist()],
}


class Linear:
    """Σ a·x, of all pixels: a loss that is linear in the picture."""

    def __init__(self, slope=1.0):
        self.slope = slope

    def losses(self, pictures, noise, step):
        yield (self.slope * pictures).sum((1, 2, 3))


class Towards:
    """½ Σ (x − aim)²"""

    def __init__(self, aim):
        self.aim = aim

    def losses(self, pictures, noise, step):
        yield (pictures - self.aim).square().sum((1, 2, 3)) / 2


class Grain:
    """What is random in it is drawn by sample and step."""

    def losses(self, pictures, noise, step):
        yield (pictures * noise.normal(pictures.shape[1:], step=step)).sum((1, 2, 3))


def same(x0):
    return x0


def judged(denoiser, judge, scale=1.0, noise=ONE, **options):
    return Judge(denoiser, judge, same, scale, noise, **options)


def gaussian(mean, std, shape=(1, 1, 1)):
    return GaussianMixture(
        torch.full((1, *shape), mean).double(), torch.tensor([std]), torch.ones(1)
    )


def quantiles(count):
    """Of the standard normal: as good as endlessly many draws."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)


def sampled(denoiser, family, start):
    """Heun's end of a start (b, c, h, w) of unit variance."""
    levels = LEVELS[family]
    first = levels[0]
    return list(find("samplers", "heun")(denoiser, first.sigma * start, levels, noise=ONE))[-1].x


@pytest.mark.parametrize("family", LEVELS)
def test_a_linear_loss_on_a_gaussian_moves_its_mean_by_its_variance(family):
    """N(μ, s²)·e^(−λ·a·x) is N(μ − λ·a·s², s²)."""
    mean, std, slope, scale = 0.7, 0.6, 1.5, 2.0
    end = sampled(
        judged(gaussian(mean, std), Linear(slope), scale), family, quantiles(400).view(-1, 1, 1, 1)
    )
    wanted = mean - scale * slope * std**2
    assert float(end.mean()) == pytest.approx(wanted, rel=0.02)
    assert float(end.std()) == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("family", LEVELS)
def test_a_mixture_is_tilted_where_its_parts_agree(family):
    """Two parts that differ in the first pixel and are alike in the second, of which the judge
    speaks: the first stays a mixture, the second's mean moves."""
    means = torch.tensor([[-2.0, 1.0], [2.0, 1.0]]).view(2, 1, 1, 2).double()
    mixture = GaussianMixture(means, torch.tensor([0.5, 0.5]), torch.tensor([0.3, 0.7]))

    class Second:
        def losses(self, pictures, noise, step):
            yield pictures[..., 1].sum((1, 2))

    grid = torch.cartesian_prod(quantiles(60), quantiles(60)).view(-1, 1, 1, 2)
    free, end = (
        sampled(denoiser, family, grid)
        for denoiser in (mixture, judged(mixture, Second(), 3.0, Noise(0, range(3600))))
    )
    torch.testing.assert_close(end[..., 0], free[..., 0], atol=1e-6, rtol=0)
    assert float((end[..., 0] > 0).double().mean()) == pytest.approx(0.7, rel=0.02)
    assert float(end[..., 1].mean()) == pytest.approx(1 - 3 * 0.25, rel=0.02)
    assert float(end[..., 1].std()) == pytest.approx(0.5, rel=0.02)


def test_its_score_leads_annealed_langevin_steps_to_any_tilted_mixture():
    """At each level D' is the score of p(x)·e^(−scale·loss(D(x))), which ends in the tilted density
    itself (Du et al. 2023, "Reduce, reuse, recycle"). Σ w_k N(μ_k, s²)·e^(−λx) has parts of means
    μ_k − λs² and weights w_k·e^(−λμ_k)."""
    means, std, tilt = torch.tensor([-1.0, 1.0]), 0.6, 0.8
    mixture = GaussianMixture(
        means.view(2, 1, 1, 1).double(), torch.full((2,), std), torch.tensor([0.4, 0.6])
    )
    draw, count = torch.Generator().manual_seed(0), 20_000
    denoiser = judged(mixture, Linear(), tilt)
    x = 5 * torch.randn(count, 1, 1, 1, generator=draw).double()
    down = [(sigma, 0.2, 20) for sigma in torch.logspace(0.7, -1.5, 8).tolist()]
    for sigma, share, steps in [*down, (0.03, 0.1, 150), (0.03, 0.02, 100)]:
        # A step of h of the density's variance leaves that too large by 1/(1 − h/2): 1% in the end.
        length = share * (sigma**2 + std**2)
        for _ in range(steps):
            score = (denoiser(x, Level(1.0, sigma)) - x) / sigma**2
            x = x + length * score
            x = x + math.sqrt(2 * length) * torch.randn(x.shape, generator=draw).double()
    weights = torch.softmax(torch.tensor([0.4, 0.6]).log() - tilt * means, 0)
    moved = means - tilt * std**2
    mean = float((weights * moved).sum())
    spread = float((weights * (std**2 + moved**2)).sum() - mean**2) ** 0.5
    assert float(x.mean()) == pytest.approx(mean, rel=0.02)
    assert float(x.std()) == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("level", [Level(0.9, 0.3), Level(0.6, 0.8), Level(1.0, 3.0)])
def test_through_x0_it_is_the_same_on_white_latents(level):
    white, x = gaussian(0.0, 1.0, (1, 2, 2)), torch.randn(2, 1, 2, 2).double()
    each = [
        judged(white, Towards(0.7), 3.0, through=through)(x, level)
        for through in ("denoiser", "x0")
    ]
    torch.testing.assert_close(*each)
    assert (each[0] - white(x, level)).abs().max() > 0.01


def test_it_is_the_gradient_of_the_loss_of_what_is_decoded():
    mixture = GaussianMixture(torch.randn(3, 2, 2, 2).double(), torch.rand(3) + 0.3, torch.ones(3))
    x, level, tiny = torch.randn(1, 2, 2, 2).double(), Level(0.7, 0.5), 1e-6

    def decode(x0):
        return x0.sin().repeat(1, 2, 1, 1)

    def loss(x):
        return float(((decode(mixture(x, level)) - 0.3) ** 2).sum() / 2)

    guided = Judge(mixture, Towards(0.3), decode, 2.0, ONE)(x, level)
    for place in range(8):
        step = torch.zeros(8, dtype=torch.float64)
        step[place] = tiny
        step = step.view_as(x)
        slope = (loss(x + step) - loss(x - step)) / (2 * tiny)
        pull = (guided - mixture(x, level)).flatten()[place]
        assert float(pull) == pytest.approx(-2.0 * 0.25 / 0.7 * slope, rel=1e-5)


def test_the_running_u_net_is_differentiable(sd_folder):
    """Under no_grad, where samplers run, and with the layers that keep weights in blocks."""
    from limner.models._open import open_model

    model = open_model(sd_folder("own")).to("cpu", torch.float64)
    words = model.encode_text(["a red cube"])
    denoiser = Given(Network(model.unet, model.prediction, model.alpha_bars), words)
    level = Level(0.8, 0.6)
    x, way = (torch.randn(1, model.channels, 8, 8).double() for _ in range(2))
    with torch.no_grad():
        pull = judged(denoiser, Towards(0.2))(x, level) - denoiser(x, level)
        near = [(denoiser(x + e * way, level) - 0.2).square().sum() / 2 for e in (1e-5, -1e-5)]
    slope = float(near[0] - near[1]) / 2e-5
    assert not pull.requires_grad
    assert float((pull * way).sum()) == pytest.approx(-0.36 / 0.8 * slope, rel=1e-4)
    assert all(weight.grad is None for weight in model.unet.parameters())


def test_a_picture_s_draws_are_its_own_and_new_at_each_level():
    mixture = gaussian(0.0, 1.0, (1, 4, 4))
    x = torch.randn(3, 1, 4, 4).double()
    both = judged(mixture, Grain(), noise=Noise(4, range(3)))(x, Level(0.8, 0.6))
    alone = judged(mixture, Grain(), noise=Noise(4, [2]))(x[2:], Level(0.8, 0.6))
    torch.testing.assert_close(both[2:], alone)
    here, there = (
        judged(mixture, Grain(), noise=Noise(4, range(3)))(x, level) - mixture(x, level)
        for level in (Level(0.8, 0.6), Level(0.6, 0.8))
    )
    assert not torch.allclose(here / 0.36, there / 0.64)


def test_outside_its_interval_and_in_pure_noise_nothing_pulls():
    mixture, x = gaussian(0.3, 0.5), torch.randn(2, 1, 1, 1).double()
    guided = judged(mixture, Linear(), interval=(0.2, 0.6))
    for level in (Level(0.9, 0.1), Level(0.3, 0.7), Level(0.0, 1.0)):
        assert torch.equal(guided(x, level), mixture(x, level))
    assert torch.equal(judged(mixture, Linear())(x, Level(0.0, 1.0)), mixture(x, Level(0.0, 1.0)))
    assert not torch.equal(guided(x, Level(0.5, 0.5)), mixture(x, Level(0.5, 0.5)))


def test_it_goes_with_every_other_guidance():
    network = _Words()
    words, nothing = torch.ones(1, 2, 3).double(), torch.zeros(1, 2, 3).double()
    x, level = torch.randn(2, 3, 4, 4).double(), Level(0.8, 0.6)
    mask, judge = torch.zeros(1, 1, 4, 4).double(), Weighted([(Smooth(1), 1.0), (Linear(), 0.5)])
    mask[..., 2:] = 1
    for inner in (CFG(network, words, nothing, 3.0), Compose(network, [words], [2.0], nothing)):
        once = judged(inner, judge, noise=Noise(0, range(2)))
        twice = judged(once, Linear(2.0), noise=Noise(0, range(2)))
        pulls = once(x, level) - inner(x, level), twice(x, level) - once(x, level)
        alone = judged(inner, Linear(2.0))(x, level) - inner(x, level)
        assert pulls[0].abs().max() > 1e-3
        torch.testing.assert_close(pulls[1], alone)  # the inner pull is a constant to the outer
        held = Inpaint(twice, torch.zeros(1, 3, 4, 4).double(), mask)(x, level)
        assert torch.equal(held[..., 2:], twice(x, level)[..., 2:]) and not held[..., :2].any()


class _Words:
    def __call__(self, x, level, condition):
        return x.tanh() * (1 + condition.mean((1, 2)))[:, None, None, None]


@pytest.mark.parametrize(
    "told, said",
    [
        (dict(scale=math.nan), "scale nan: give a finite"),
        (dict(interval=(0.5, 0.2)), "interval"),
        (dict(through="x1"), "through 'x1': give 'denoiser' or 'x0'"),
    ],
)
def test_refuses_what_is_no_guidance(told, said):
    with pytest.raises(BadInput, match=said):
        judged(gaussian(0.0, 1.0), Linear(), **told)
