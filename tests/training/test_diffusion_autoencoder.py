"""Diffusion autoencoders: the loss, resuming, and what the tasks make of the folder."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from limner import BadInput, Picture, arithmetic, interpolate, invert, replay
from limner.cli import main
from limner.levels import alpha_bars
from limner.models.diffusion_autoencoder import open_diffusion_autoencoder
from limner.nets.diffusion_autoencoder import Decoder, SemanticEncoder
from limner.noise import Noise
from limner.tasks._blend import spherical
from limner.tasks._latent_file import load_latent
from limner.training._data import Captioned
from limner.training._pixels import build_unet
from limner.training.diffusion_autoencoder import (
    RecipeOfDiffusionAutoencoder,
    diffusion_autoencoder,
)
from limner.training.loop import Plan

sys.path.insert(0, str(Path(__file__).parent))
from _toy import Bars

PLAN = Plan(
    steps=2, batch_size=4, learning_rate=1e-3, warmup_steps=1, ema=0.5, save_every=1, seed=3
)
TINY: dict[str, Any] = dict(width=8, layers=1, code=5)
NAME = "diffusion_autoencoder"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("semantic") / "run"
    list(diffusion_autoencoder(Bars(64, 12), run, replace(PLAN, preview_every=2), **TINY))
    assert len(list((run / "previews").iterdir())) == 1
    return run / "model"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return Picture(Noise(0, [0]).uniform((3, 16, 14))[0]).save(tmp_path / "a.png")


def recipe() -> RecipeOfDiffusionAutoencoder:
    torch.manual_seed(0)
    decoder = Decoder(build_unet(12, 3, 3, 8, 1, told=True), 5)
    encoder = SemanticEncoder(3, 5, (8, 16, 32), 1)
    shape = {"channels": 3, "code": 5, "widths": [8, 16, 32], "layers": 1}
    return RecipeOfDiffusionAutoencoder(Captioned(Bars(64, 12), 3), encoder, decoder, shape, seed=3)


def test_the_loss_is_epsilon_s_of_a_decoder_that_is_told_z() -> None:
    made = recipe()
    batch = made.batch(5, 4, 0, 1)
    losses: list[Tensor] = []
    made.learn("autoencoder", batch, 5, losses.append)
    kept = alpha_bars("linear")[batch["timesteps"]].float().view(-1, 1, 1, 1)
    x = kept.sqrt() * batch["x0"] + (1 - kept).sqrt() * batch["noise"]
    z = made.model.encoder(batch["x0"])
    said = made.model.decoder(x, batch["timesteps"].float(), z)
    torch.testing.assert_close(losses[0], (said - batch["noise"]).square().mean())
    losses[0].backward()
    assert all(p.grad is not None for p in made.model.encoder.parameters())  # by z alone
    other = made.model.decoder(x, batch["timesteps"].float(), z + 1)
    assert not torch.allclose(said, other, atol=1e-5)
    halves = [made.batch(5, 2, rank, 2) for rank in (0, 1)]
    for key, value in batch.items():
        assert torch.equal(value, torch.cat([half[key] for half in halves]))


def test_it_opens_here_and_in_diffusers(model: Path) -> None:
    from diffusers import UNet2DModel

    opened = open_diffusion_autoencoder(model)
    assert (opened.size, opened.channels, opened.code, opened.steps) == (12, 3, 5, 20)
    theirs = UNet2DModel.from_pretrained(model).eval()
    x, t, z = torch.randn(2, 3, 12, 12), torch.tensor([3.0, 800.0]), torch.randn(2, 5)
    with torch.no_grad():
        wanted = theirs(x, t, class_labels=opened.decoder.heard(z)).sample  # type: ignore[operator]
        torch.testing.assert_close(opened.decoder(x, t, z), wanted)
    pictures = torch.from_numpy(Bars(64, 12).batch(range(60))[0]).permute(0, 3, 1, 2) / 255
    z = opened.seen(pictures)
    assert z.shape == (60, 5)
    torch.testing.assert_close(opened.encoder.mean, z.mean(0), atol=0.3, rtol=0.3)


def test_resumed_training_repeats_the_uninterrupted_one(model: Path, tmp_path: Path) -> None:
    first = diffusion_autoencoder(Bars(64, 12), tmp_path / "run", PLAN, **TINY)
    next(first)
    first.close()
    list(diffusion_autoencoder(Bars(64, 12), tmp_path / "run", PLAN, resume=True, **TINY))
    for name in ("diffusion_pytorch_model.safetensors", "encoder.safetensors"):
        assert (tmp_path / "run" / "model" / name).read_bytes() == (model / name).read_bytes()


def test_pictures_are_inverted_and_painted_again(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    place = tmp_path / "a.safetensors"
    found = invert(
        picture,
        generator=NAME,
        model=model,
        steps=3,
        save=place,
        watch=lambda p: seen.append(p.step),
    )
    assert seen == [1, 2, 3] and found.picture.pixels.shape == (3, 12, 12)
    assert found.latent["z"].shape == (1, 5) and found.latent["noise"].shape == (1, 3, 12, 12)
    kept = load_latent(place)
    assert kept.generator == NAME and torch.equal(kept.latent["z"], found.latent["z"])
    assert replay(found.picture).psnr > 60


def test_z_goes_along_a_line_and_noise_along_an_arc(
    model: Path, picture: Path, tmp_path: Path
) -> None:
    other = Picture(Noise(0, [1]).uniform((3, 12, 12))[0]).save(tmp_path / "b.png")
    made = interpolate(picture, other, frames=3, generator=NAME, model=model, steps=2)
    ends = [invert(each, generator=NAME, model=model, steps=2).latent for each in (picture, other)]
    z = (ends[0]["z"] + ends[1]["z"]) / 2
    x = spherical(ends[0]["noise"], ends[1]["noise"], 0.5)
    opened = open_diffusion_autoencoder(model)
    with torch.no_grad():
        wanted = opened.decode(opened.down(x, z))[0]
    torch.testing.assert_close(made.frames[1].pixels, wanted, atol=1e-4, rtol=0)


def test_an_attribute_moves_z_and_leaves_the_noise(
    model: Path, picture: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """By the mean difference of what faces with it and without show."""
    from limner.picture import resize
    from limner.tasks._attributes import ATTRIBUTES
    from limner.tasks._directions import direction
    from limner.tasks._spaces import KINDS, Space
    from limner.worlds.faces import World

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened = open_diffusion_autoencoder(model)
    space = Space(NAME, KINDS[NAME], opened)
    found = direction(space, "glasses", pairs=2, seed=0, report=lambda done: None)
    assert not found["noise"].any()
    world, sides = World(0, aligned=1), []
    for without, given in (ATTRIBUTES["glasses"].pair(world.face(i)) for i in range(2)):
        for face in (without, given):
            drawn = torch.from_numpy(world.portrait(face)[0].copy()).permute(2, 0, 1)[None] / 255
            sides.append(opened.seen(resize(drawn, (12, 12))))
    wanted = (sides[1] - sides[0] + sides[3] - sides[2]) / 2
    torch.testing.assert_close(found["z"], wanted, atol=1e-4, rtol=1e-3)
    made = arithmetic(picture, add="glasses", pairs=2, generator=NAME, model=model, steps=2)
    latent = invert(picture, generator=NAME, model=model, steps=2).latent
    with torch.no_grad():
        painted = opened.decode(opened.down(latent["noise"], latent["z"] + found["z"]))[0]
    torch.testing.assert_close(made.pixels, painted, atol=1e-4, rtol=0)
    assert replay(made).psnr > 60


def test_the_commands(tmp_path: Path, capsys: Any, monkeypatch: Any, picture: Path) -> None:
    monkeypatch.chdir(tmp_path)
    small = "--pixels 16 --batch-size 2 --steps 1 --width 8 --layers 1 --code 4"
    assert main(f"train diffusion-autoencoder --data world:faces {small} -o run".split()) == 0
    said = f"invert {picture} --generator {NAME} --model run/model --steps 2 -o b.png"
    assert main(said.split()) == 0 and Path("b.png").is_file()
    assert main(f"invert {picture} --generator {NAME} -o c.png".split()) == 2
    assert "no embedded diffusion autoencoder" in capsys.readouterr().err


def test_bad_input_is_one_line(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    card = json.loads((model / "limner.json").read_text())
    (broken / "limner.json").write_text(json.dumps(card | {"encoder": {"code": "many"}}))
    data = Bars(24, 12)
    for call, message in (
        (lambda: list(diffusion_autoencoder(data, tmp_path / "a", PLAN, code=0)), "code 0"),
        (lambda: list(diffusion_autoencoder(data, tmp_path / "a", PLAN, width=9)), "width 9"),
        (lambda: open_diffusion_autoencoder(broken), "no folder that limner train"),
    ):
        with pytest.raises(BadInput, match=message):
            call()
    assert not (tmp_path / "a").exists()
