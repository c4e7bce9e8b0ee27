"""The measure of inversions, beside what `limner.invert` finds of the same pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import VQModel
from skimage.metrics import peak_signal_noise_ratio

from limner import BadInput, invert
from limner.measures.inversion import inversion
from limner.picture import from_uint8, load
from limner.worlds import faces, scenes

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))
from _toys import stylegan_folder


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stylegan_folder(tmp_path_factory.mktemp("styled") / "model", (6, 5, 4))


def alone(pictures: np.ndarray, folder: Path, **how: Any) -> list[float]:
    """`limner.invert`, one by one, from files."""
    places = [from_uint8(each).save(folder / f"{i}.png") for i, each in enumerate(pictures)]
    return [invert(place, **how).psnr for place in places]


@pytest.mark.parametrize("generator", ["stylegan", "stylegan=w"])
def test_faces_in_a_stylegan(generator: str, styled: Path, tmp_path: Path) -> None:
    """Unseen faces, cut out; in pieces of two the same as one by one."""
    told: list[tuple[int, int]] = []
    found = inversion(
        generator, model=styled, steps=6, count=3, at_once=2, seed=4, sheet=tmp_path / "sheet.png",
        watch=lambda *done: told.append(done),
    )  # fmt: skip
    drawn = faces.World(4, split="held_out", aligned=1).draw(range(3))
    assert all(faces.held_out(face) for face in drawn.faces)
    wanted = alone(drawn.pictures, tmp_path, generator=generator, model=styled, steps=6)
    assert found.psnr == pytest.approx(np.mean(wanted), abs=1e-3)
    assert found.worst == pytest.approx(min(wanted), abs=1e-3)
    assert found.standard_error == pytest.approx(np.std(wanted, ddof=1) / 3**0.5, abs=1e-3)
    assert (found.n, found.steps, found.generator) == (3, 6, generator) and found.seconds > 0
    assert told == [(2, 3), (3, 3)]
    assert load(tmp_path / "sheet.png").pixels.shape[2] > 2 * 16
    whole = inversion(generator, model=styled, steps=6, count=3, seed=4, aligned=False)
    assert whole.psnr != found.psnr
    more = inversion(generator, model=styled, steps=40, count=3, seed=4)
    assert more.psnr > found.psnr + 0.1


def test_scenes_in_an_autoencoder(sd_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """By the encoder alone; and nearer with steps."""
    folder = sd_folder("own")
    found = inversion("latent", model=folder, count=2, seed=4)
    drawn = scenes.World(4, split="held_out").draw(range(2))
    wanted = alone(drawn.pictures, tmp_path, generator="latent", model=folder)
    assert found.psnr == pytest.approx(np.mean(wanted), abs=1e-3)
    assert found.steps == 0 and 0 < found.ssim < 1
    assert inversion("latent", model=folder, count=2, seed=4, steps=3).psnr > found.psnr


def test_scenes_in_a_vqgan_s_codes(tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), latent_channels=4, norm_num_groups=4, sample_size=32,
        num_vq_embeddings=64, mid_block_add_attention=False,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.quantize.embedding.weight)
    model.save_pretrained(tmp_path)
    found = inversion("vqgan", model=tmp_path, count=2, seed=4)
    drawn = scenes.World(4, split="held_out").draw(range(2)).pictures
    pixels = torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        again = (model.forward(pixels * 2 - 1).sample / 2 + 0.5).clamp(0, 1)
    each = [
        peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1) for a, b in zip(pixels, again)
    ]
    assert found.psnr == pytest.approx(np.mean(each), abs=1e-3)


@pytest.mark.parametrize(
    "wrong, match",
    [
        (dict(generator="pixels"), "choose one of diffusion_autoencoder, latent, vqgan"),
        (dict(generator="stylegan=z"), "a picture has no z"),
        (dict(count=0), "count 0"),
        (dict(at_once=0), "at_once 0"),
        (dict(steps=0), "steps 0"),
        (dict(steps=-1), "steps -1"),
        (dict(model="/nowhere"), "no model at"),
        (dict(sheet=Path("/nowhere/at/all.png")), "there is no folder"),
    ],
)
def test_refuses(wrong: dict[str, Any], match: str, styled: Path) -> None:
    with pytest.raises(BadInput, match=match):
        inversion(**dict(model=styled, count=2) | wrong)


def test_on_the_command_line(run: Callable[..., tuple[int, str, str]], styled: Path) -> None:
    said = ("measure", "inversion", "--model", styled, "--steps", 2, "--count", 2)
    status, out, err = run(*said, "-o", "sheet.png")
    assert (status, err) == (0, "") and out.startswith("PSNR ") and "2 unseen pictures" in out
    assert Path("sheet.png").is_file()
    status, out, _ = run(*said, "--json")
    assert status == 0 and json.loads(out)["n"] == 2
    status, _, err = run(*said, "--generator", "stylegan=z")
    assert status == 2 and "a picture has no z" in err and err.count("\n") == 1
