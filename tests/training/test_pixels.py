"""Improved DDPM and score SDEs on tiny pictures: losses, models, and what opens them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from limner import BadInput, replay, sample
from limner.cli import main
from limner.denoisers import Reverse
from limner.denoisers.gaussian_mixture import GaussianMixture
from limner.levels import level_at
from limner.measures import likelihood as measured
from limner.measures.likelihood import likelihood
from limner.models.pixels import Card, Pixels, open_pixels, tables
from limner.noise import Noise
from limner.picture import load
from limner.tasks._drawing import denoiser_of, painter_of
from limner.training._data import Captioned
from limner.training._pixels import OnPixels, build_unet
from limner.training._vlb import Chain
from limner.training.iddpm import Hybrid, iddpm
from limner.training.loop import Plan
from limner.training.score_sde import Score, score_sde

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, ema=0.5, seed=3)
TINY: dict[str, Any] = dict(width=8, layers=1)
KINDS = ("iddpm", "vp", "ve")


def trained(kind: str, folder: Path, **options: Any) -> Path:
    data, said = Bars(64, size=12), TINY | options
    run = folder / kind
    if kind == "iddpm":
        list(iddpm(data, run, PLAN, **said))
    else:
        list(score_sde(data, run, PLAN, sde=kind, **said))
    return run / "model"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp("pixels")
            made[kind] = trained(kind, folder, grey=kind == "vp")
        return made[kind]

    return get


def test_the_hybrid_s_bound_moves_the_variance_alone() -> None:
    """The paper, §3.1: "we apply a stop-gradient to the mean output for the L_vlb term"."""
    hybrid = Hybrid()
    draw = torch.Generator().manual_seed(0)
    x0, n = torch.rand(6, 1, 4, 4, generator=draw) * 2 - 1, torch.randn(6, 1, 4, 4, generator=draw)
    said = (0.1 * torch.randn(6, 2, 4, 4, generator=draw)).requires_grad_(True)
    steps = torch.tensor([0.0, 1, 100, 500, 900, 999]).double()
    losses = hybrid.losses(x0, n, steps, said)
    assert list(losses) == ["loss", "simple", "bound"]
    (of_bound,) = torch.autograd.grad(losses["bound"], said, retain_graph=True)
    assert not of_bound[:, 0].any() and bool(of_bound[:, 1].any())
    (of_simple,) = torch.autograd.grad(losses["simple"], said, retain_graph=True)
    assert bool(of_simple[:, 0].any()) and not of_simple[:, 1].any()
    wanted = losses["simple"] + 0.001 * losses["bound"]
    torch.testing.assert_close(losses["loss"], wanted)
    drawn = hybrid.timesteps(4000, np.random.default_rng(0))
    assert drawn.min() == 0 and drawn.max() == 999


def test_the_equations_are_song_s() -> None:
    """Appendix C: of vp the mean is exp(−¼t²(β₁−β₀) − ½tβ₀), of ve σ is σ₀(σ₁/σ₀)^t."""
    vp, ve = Score("vp"), Score("ve", 30.0)
    steps = torch.tensor([0.0, 300.5, 999.0]).double()
    times = 1e-3 + (1 - 1e-3) * steps / 999
    mean = torch.exp(-0.25 * times**2 * 19.9 - 0.5 * times * 0.1)
    torch.testing.assert_close(vp.alpha_bar(steps), mean**2)
    kept = ve.alpha_bar(steps)
    torch.testing.assert_close(((1 - kept) / kept).sqrt(), 0.01 * 3000**times)
    for score in (vp, ve):  # the table that the opened model has is the one that it learned by
        table = tables(score.card)
        torch.testing.assert_close(score.alpha_bar(torch.arange(1000).double()), table)
    drawn = vp.timesteps(4000, np.random.default_rng(0)) / 999
    assert stats.kstest(drawn.numpy(), stats.uniform.cdf).pvalue > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_opens_in_diffusers_and_here(models: Any, kind: str) -> None:
    from diffusers import UNet2DModel

    folder = models(kind)
    opened = open_pixels(folder)
    theirs = UNet2DModel.from_pretrained(folder).eval()
    x, times = torch.randn(2, opened.channels, 12, 12), torch.tensor([3.0, 800.0])
    with torch.no_grad():
        wanted = theirs(x, times).sample[:, : opened.channels]
        torch.testing.assert_close(opened.predict(x, times, x), wanted)
    assert opened.channels == (1 if kind == "vp" else 3) and opened.size == 12
    assert opened.card.learned == (kind == "iddpm")
    levels = opened.levels(5)
    assert len(levels) == 6 and levels[-1] == (1, 0)
    painter = painter_of(opened, Noise(0, range(2)))
    assert isinstance(painter, Reverse) == (kind == "iddpm")  # its variance is asked for
    x = torch.randn(2, opened.channels, 12, 12)
    with torch.no_grad():
        x0 = painter(x, levels[1])
        torch.testing.assert_close(x0, denoiser_of(opened)(x, levels[1]).clamp(-1, 1))
    if kind == "ve":
        assert levels[0] == pytest.approx((1, 50))
    pictures = torch.rand(2, 3, 12, 12)
    again = opened.decode(opened.encode(pictures))
    assert again.shape == pictures.shape
    if opened.channels == 3:
        torch.testing.assert_close(again, pictures)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_repeated_from_their_recipes(models: Any, tmp_path: Path, kind: str) -> None:
    for sampler in ("predictor_corrector", "dpmpp_2m"):
        made = sample(models(kind), count=2, steps=4, sampler=sampler, seed=1)
        assert made[0].pixels.shape == (3, 12, 12) and not torch.equal(
            made[0].pixels, made[1].pixels
        )
        place = made[1].save(tmp_path / "a.png")
        assert replay(place).psnr > 60
    one = sample(models(kind), count=1, first=1, steps=4, seed=1)[0]
    torch.testing.assert_close(one.pixels, made[1].pixels, rtol=0, atol=1e-3)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    recipe = OnPixels(Captioned(Bars(64, 12), 3), build_unet(12, 1, 2, 8, 1), Hybrid(), grey=True)
    a, b = recipe.batch(5, 8, 0, 1), recipe.batch(5, 8, 0, 1)
    halves = [recipe.batch(5, 4, rank, 2) for rank in (0, 1)]
    for key, value in a.items():
        assert torch.equal(value, b[key])
        assert torch.equal(value, torch.cat([half[key] for half in halves]))
    assert a["x0"].shape == (8, 1, 12, 12) and a["x0"].abs().max() <= 1


def test_resumed_training_repeats_the_uninterrupted_one(tmp_path: Path) -> None:
    def run(name: str, stops: list[int]) -> dict[str, Tensor]:
        for steps in stops:
            run = iddpm(Bars(64, 12), tmp_path / name, Plan(**{**asdict(PLAN), "steps": 4}),
                        resume=(tmp_path / name).exists(), **TINY)  # fmt: skip
            for progress in run:
                if progress.step == steps:
                    run.close()
                    break
        return dict(open_pixels(tmp_path / name / "model").unet.named_parameters())

    whole, halved = run("whole", [9]), run("halved", [2, 9])
    assert all(torch.equal(value, halved[name]) for name, value in whole.items())


def test_the_commands(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for number, (picture, caption) in enumerate(zip(*Bars(24).batch(range(24)), strict=True)):
        Image.fromarray(picture).save(f"pictures/{number:02}.png")
        Path(f"pictures/{number:02}.txt").write_text(caption)
    small = "--pixels 12 --batch-size 4 --steps 2 --width 8 --layers 1".split()  # noqa: SIM905
    for name in ("iddpm", "score-sde"):
        said = ["train", name, "--data", "pictures", *small, "--preview-every", "2", "-o", name]
        assert main(said) == 0
        assert load(f"{name}/previews/step-000002.png").pixels.shape[1] > 48
    capsys.readouterr()
    said = "sample iddpm/model --count 3 --steps 3 --sampler ddpm --sheet -o a.png"
    assert main(said.split()) == 0
    assert sorted(p.name for p in Path().glob("a*")) == [
        "a-1.png",
        "a-2.png",
        "a-3.png",
        "a-sheet.png",
    ]
    capsys.readouterr()
    said = ["measure", "likelihood", "iddpm/model", "--data", "pictures", "--count", "2"]
    assert main([*said, "--steps", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 2 and math.isfinite(told["bits"]) and told["bits"] > 0


@pytest.mark.parametrize("way", ["flow", "bound"])
def test_bits_of_a_model_that_knows_the_data_are_its_entropy(monkeypatch: Any, way: str) -> None:
    """Greys drawn from N(0, ¼²) in [−1, 1], and a network that says the posterior exactly: both
    ways give the entropy of such a grey in bits, ½·log₂ 2πe·(¼·128)², but for a few draws."""
    deviation, side, count = 0.25, 12, 24
    rng = np.random.default_rng(0)
    greys = np.clip((rng.normal(0, deviation, (count, side, side)) + 1) * 127.5, 0, 255).round()

    class Greys:
        size = side

        def __len__(self) -> int:
            return count

        def batch(self, indices: Any) -> Any:
            chosen = greys[list(indices)].astype(np.uint8)
            return np.repeat(chosen[..., None], 3, 3), [""] * len(chosen)

    card = Card("iddpm", "cosine", learned=True)
    table = tables(card)
    model = Pixels("exact", Exact(table, deviation), card, table, 1, side)
    monkeypatch.setattr(measured, "open_data", lambda *_, **__: Greys())
    if way == "bound":
        monkeypatch.setattr(measured, "_AT_ONCE", count)
    found = likelihood(model, "greys", count=count, way=way, probes=1, steps=40)
    entropy = 0.5 * math.log2(2 * math.pi * math.e * (deviation * 128) ** 2)
    assert found.bits == pytest.approx(entropy, abs=0.05) and found.n == count


class Exact(torch.nn.Module):
    """ε and the variance that x0 ~ N(0, s²) has, of VP levels at the table's timesteps."""

    def __init__(self, table: Tensor, deviation: float) -> None:
        super().__init__()
        self.table, self.deviation, self.before = table, deviation, Chain(table).before()
        self.low, self.high = Chain(table).log_variances()

    def forward(self, x: Tensor, timesteps: Tensor) -> Any:
        t, s2, d = float(timesteps[0]), self.deviation**2, self.deviation
        level, k = level_at(self.table, t), min(round(t), 999)
        exact = GaussianMixture(torch.zeros(1, *x.shape[1:]), torch.tensor([d]), torch.ones(1))
        eps = (x - level.alpha * exact(x, level)) / level.sigma
        here, before = float(self.table[k]), float(self.before[k])
        reverse = (1 - here / before) * (before * s2 + 1 - before) / (here * s2 + 1 - here)
        wide = float(self.high[k] - self.low[k])
        v = 2 * (math.log(reverse) - float(self.low[k])) / wide - 1 if wide > 1e-9 else 0.0
        return SimpleNamespace(sample=torch.cat([eps, torch.full_like(eps, v)], 1))


def test_bad_input_is_one_line(models: Any, tmp_path: Path) -> None:
    data = Bars(24, 12)
    for call, message in (
        (lambda: list(iddpm(data, tmp_path / "a", PLAN, schedule="no")), "schedule 'no'"),
        (lambda: list(iddpm(data, tmp_path / "a", PLAN, width=9)), "width 9"),
        (lambda: list(iddpm(Bars(24, 13), tmp_path / "a", PLAN)), "pixels 13"),
        (lambda: list(score_sde(data, tmp_path / "a", PLAN, sde="no")), "sde 'no'"),
        (lambda: list(score_sde(data, tmp_path / "a", PLAN, sigma_max=0.1)), "sigma_max 0.1"),
        (lambda: open_pixels(tmp_path), "no limner.json"),
        (lambda: open_pixels("no/where at all"), "no model at"),
        (lambda: sample(models("vp"), steps=0), "steps 0"),
        (lambda: sample(models("vp"), sampler="no"), "no sampler 'no'"),
        (lambda: likelihood(models("vp"), "no/where"), "there is no"),
        (lambda: likelihood(models("vp"), "no/where", way="bound"), "learned no variance"),
        (lambda: likelihood(models("vp"), "no/where", way="no"), "way 'no'"),
    ):
        with pytest.raises(BadInput, match=message):
            call()
    assert not (tmp_path / "a").exists()
