"""upscale: diffusers' own steps, no seams, any size, recipes, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from limner import BadInput, Picture, replay, upscale
from limner.models.upscaler import Upscaler, built, doubled, halved, open_upscaler
from limner.noise import Noise
from limner.picture import load, resize
from limner.tasks._upscaled import Doubling, cascade, field
from limner.training._noised import write

SHAPE = {"widths": [8, 8, 12], "depth": 1, "heard": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What limner train upscaler writes, random and tiny, with no weight at zero."""
    torch.manual_seed(4)
    network = built(SHAPE)
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.15)
    place = tmp_path_factory.mktemp("upscaler")
    write(place, network, {"recipe": "upscaler", "network": SHAPE, "spread": 0.01, "licence": "X"})
    return place


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """(22, 30) pixels between .3 and .7, so that nothing is cut off at black or white."""
    return Picture(0.3 + 0.4 * Noise(0, [0]).uniform((3, 22, 30))[0]).save(tmp_path / "scene.png")


def small(height: int, width: int) -> torch.Tensor:
    return 0.3 + 0.4 * Noise(1, [0]).uniform((3, height, width))


def test_it_is_what_diffusers_scheduler_makes_of_the_network(folder: Path, scene: Path) -> None:
    """DDIM without noise of its own, trailing timesteps, zero terminal SNR, v-prediction."""
    from diffusers import DDIMScheduler

    made = upscale(scene, by=2, steps=5, detail=1.0, seed=3, model=folder, precision="float32")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True,
    )  # fmt: skip
    scheduler.set_timesteps(5)
    model = open_upscaler(folder)
    shown = functional.pad(load(scene).pixels[None], (0, 2, 0, 2), mode="replicate")
    x = Noise(3, [0]).normal((12, 24, 32), step=0, purpose="upscale 0")
    for timestep in scheduler.timesteps:
        told = torch.tensor([[float(timestep) / 1000, 0.0]])
        said = model.network(torch.cat([x, 2 * shown - 1], 1), told)
        x = scheduler.step(said, timestep, x).prev_sample
    lacking = functional.pixel_shuffle(0.01 * x, 2)[:, :, :44, :60]
    enlarged = functional.interpolate(shown, scale_factor=2, mode="bicubic", antialias=True)
    expected = (enlarged[:, :, :44, :60] + lacking).clamp(0, 1)
    torch.testing.assert_close(made.pixels[None], expected, atol=1e-3, rtol=0)
    assert float(lacking.abs().max()) > 0.02


def exact(variance: float) -> Upscaler:
    """A network whose residual, in cells, is normal with the mean .5 and a variance: v in closed
    form, for any x."""
    network = built(SHAPE)
    model = Upscaler("exact", network, 0.02)

    class Known(torch.nn.Module):
        by, reach = 4, 4

        def forward(self, shown: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
            index = (told[0, 0] * 1000).round().long()
            alpha_bar = float(model.alpha_bars[index])
            alpha, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
            x = shown[:, :12]
            gain = alpha * variance / (alpha_bar * variance + sigma**2)
            x0 = 0.5 + gain * (x - alpha * 0.5)
            n = (x - alpha * x0) / sigma
            return alpha * n - sigma * x0

    return Upscaler("exact", Known(), 0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(("detail", "spread"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_detail_leads_from_the_mean_to_samples(detail: float, spread: float) -> None:
    """Of a known normal: mean and deviation of what is laid over the enlarged picture."""
    given = small(64, 64).clamp(0.4, 0.6)
    *_, last = Doubling(exact(0.8), given, steps=200, detail=detail).states(Noise(0, [0]))
    cells = exact(0.8).cells(last(), given)
    assert float(cells.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(cells.std()) == pytest.approx(spread * 0.8**0.5, abs=0.015)


def test_one_step_runs_where_the_mean_is_wanted(folder: Path) -> None:
    model, noise = replace(open_upscaler(folder), spread=0.002), Noise(2, [0])
    runs = {
        (steps, detail): list(Doubling(model, small(16, 16), steps, detail).states(noise))
        for steps, detail in ((4, 0.0), (1, 0.0), (4, 0.5), (4, 1.0), (1, 1.0))
    }
    assert [len(run) for run in runs.values()] == [1, 1, 4, 4, 1]
    mean, half, sample = (runs[4, detail][-1]() for detail in (0.0, 0.5, 1.0))
    torch.testing.assert_close(runs[1, 1.0][-1](), mean)
    torch.testing.assert_close(half, (mean + sample) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(70, 70), (33, 150), (5, 90)])
def test_tiles_leave_no_seam(folder: Path, shape: tuple[int, int]) -> None:
    """Twice doubled, in tiles of 64 pixels: as in one pass to 1e-4, in every pixel."""
    model = replace(open_upscaler(folder), spread=0.05)
    found = []
    for tile in (64, 8192):
        options = dict(steps=3, detail=1.0, augment=0.05, tile=tile)
        *_, last = cascade(model, small(*shape), 2, Noise(5, [0]), **options)
        found.append(last())
    assert found[0].shape == (1, 3, 4 * shape[0], 4 * shape[1])
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=0)


def test_augmentation_is_noise_that_the_network_is_told_of(folder: Path) -> None:
    model, given, noise = open_upscaler(folder), small(16, 16), Noise(6, [0])
    seen = []

    def ask(shown: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        seen.append((shown[:, 12:], told))
        return torch.zeros_like(shown[:, :12])

    told = Upscaler("told", model.network, 0.05)
    object.__setattr__(told, "ask", lambda x, t, augment: ask(x, augment))
    *_, _ = cascade(told, given, 2, noise, steps=1, detail=1.0, augment=0.05, tile=512)
    (first, clean), (second, noisy) = seen
    torch.testing.assert_close(first, 2 * given - 1)
    assert float(clean) == 0 and float(noisy) == pytest.approx(0.5)
    laid = (second + 1) / 2 - doubled(given).clamp(0, 1)
    assert float(laid.std()) == pytest.approx(0.05, rel=0.1)


def test_noise_is_drawn_in_blocks_each_its_own() -> None:
    drawn = field(Noise(1, [0, 7]), (3, 130, 260), "some")
    assert drawn.shape == (2, 3, 130, 260) and abs(float(drawn.std()) - 1) < 0.01
    torch.testing.assert_close(drawn[1:], field(Noise(1, [7]), (3, 130, 260), "some"))
    blocks = [drawn[0, 0, :2, :128], drawn[0, 0, 128:, :128], drawn[0, 0, :2, 128:256]]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(float((blocks[first] * blocks[second]).mean())) < 0.3
    assert not torch.equal(drawn, field(Noise(1, [0, 7]), (3, 130, 260), "other"))


def test_halving_and_enlarging_are_pillow_s() -> None:
    pixels = small(32, 48)
    image = Picture(pixels[0]).image()
    for made, size in ((halved(pixels), (24, 16)), (doubled(pixels), (96, 64))):
        theirs = image.resize(size, Image.Resampling.BICUBIC)
        assert abs(Picture(made[0]).uint8().astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("told", "size"),
    [(dict(by=2), (44, 60)), (dict(to=45), (33, 45)), (dict(to=100), (73, 100)),
     (dict(), (375, 512)), (dict(by=4), (88, 120))],
)  # fmt: skip
def test_any_size_is_reached(
    folder: Path, scene: Path, told: dict[str, int], size: tuple[int, int]
) -> None:
    made = upscale(scene, **told, detail=0.0, model=folder)  # type: ignore[arg-type]
    assert made.pixels.shape == (3, *size)
    near = resize(load(scene).pixels, size)
    assert float((made.pixels - near).abs().mean()) < 0.1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 17)])
def test_any_picture_is_welcome(folder: Path, tmp_path: Path, mode: str, shape: tuple) -> None:
    place = tmp_path / "odd.png"
    Image.new(mode, shape, 0).save(place)
    made = upscale(place, by=4, steps=1, model=folder)
    assert made.pixels.shape == (3, 4 * shape[1], 4 * shape[0])


def test_the_command_writes_what_replay_makes_again(
    folder: Path, scene: Path, run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    more = ("--to", 100, "--steps", 2, "--detail", 0.5, "--model", folder, "--seed", 5, "--preview")
    status, out, err = run("upscale", scene, *more, "--json", "-o", "large.png")
    told = json.loads(out)
    assert status == 0 and told["size"] == [100, 73] and err.startswith("preview:")
    assert told["recipe"]["arguments"]["seed"] == 5 and not list(tmp_path.glob("*preview*"))
    again = replay("large.png")
    assert again.identical and again.notes == ()
    status, out, _ = run("replay", "large.png")
    assert (status, out) == (0, "identical\n")
    Picture(load(scene).pixels.flip(-1)).save(scene)
    with pytest.raises(BadInput, match="is not the one it was made from"):
        replay("large.png")


def test_a_watcher_sees_each_step_and_stops_it(folder: Path, scene: Path) -> None:
    steps = []

    def watch(progress) -> None:  # type: ignore[no-untyped-def]
        (shown,) = progress.preview()
        steps.append((progress.step, progress.total, tuple(shown.pixels.shape)))
        if len(steps) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale(scene, by=4, steps=3, detail=1.0, model=folder, watch=watch)
    assert steps == [(n, 6, (3, 88, 120)) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (dict(to=30), "is 30x22 already: give --to more than 30"),
        (dict(to=20), "give --to more than 30"),
        (dict(to=9000), "at most 8192"),
        (dict(to=60, by=2), "give one of them"),
        (dict(by=3), "give 2, 4 or 8"),
        (dict(detail=1.5), "from 0 to 1"),
        (dict(detail=float("nan")), "from 0 to 1"),
        (dict(augment=0.2), "from 0 to 0.1"),
        (dict(steps=0), "steps 0"),
        (dict(tile=8), "tile 8"),
        (dict(seed=-1), "seed -1"),
        (dict(model="nowhere"), "no model at 'nowhere'"),
        (dict(precision="half"), "precision 'half'"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, scene: Path, told: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        upscale(scene, **{"model": folder} | told)


def test_other_models_and_missing_pictures_are_refused(
    sd_folder: Callable[[str], Path], folder: Path, scene: Path, run: Callable
) -> None:
    with pytest.raises(BadInput, match="holds no network of limner train upscaler"):
        upscale(scene, model=sd_folder("sd1"))
    status, _, err = run("upscale", "none.png", "--model", folder)
    assert status == 2 and "cannot read the picture 'none.png'" in err
