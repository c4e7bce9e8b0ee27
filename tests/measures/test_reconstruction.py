from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from limner import open_model
from limner.errors import BadInput
from limner.measures.reconstruction import reconstruction, ssim
from limner.models.vqgan import open_vqgan
from limner.picture import resize
from limner.worlds.scenes import World, held_out


def test_ssim_is_scikit_image_s() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a = rng.random((3, 3, 40, 52))
    b = np.clip(a + rng.normal(0, [[[[0.02]]], [[[0.2]]], [[[0.6]]]], a.shape), 0, 1)
    wanted = [
        structural_similarity(
            x, y, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(a, b)
    ]  # fmt: skip
    assert ssim(torch.from_numpy(a), torch.from_numpy(b)).tolist() == pytest.approx(
        wanted, abs=1e-6
    )
    assert ssim(torch.from_numpy(a), torch.from_numpy(a)).tolist() == pytest.approx([1] * 3)
    with pytest.raises(BadInput, match="cannot compare"):
        ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_it_is_the_mean_over_pictures_of_unseen_scenes(sd_folder: Callable[[str], Path]) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    folder = sd_folder("own")
    told: list[tuple[int, int]] = []
    found = reconstruction(folder, count=18, seed=4, watch=lambda *done: told.append(done))
    model, world = open_model(folder), World(4, split="held_out")
    drawn = world.draw(range(18))
    assert all(held_out(scene) for scene in drawn.scenes)
    pixels = torch.from_numpy(drawn.pictures).permute(0, 3, 1, 2) / 255
    pixels = resize(pixels, (model.size, model.size))
    again = model.decode(model.encode(pixels))
    each = [
        peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1) for a, b in zip(pixels, again)
    ]
    assert found.psnr == pytest.approx(np.mean(each), abs=1e-3)
    assert found.worst == pytest.approx(min(each), abs=1e-3)
    assert found.standard_error == pytest.approx(np.std(each, ddof=1) / 18**0.5, abs=1e-3)
    assert found.ssim == pytest.approx(float(ssim(pixels, again).mean()), abs=1e-4)
    assert found.n == 18 and told == [(16, 18), (18, 18)]
    with pytest.raises(BadInput, match="count 0"):
        reconstruction(folder, count=0)


def test_a_vqgan_is_drawn_of_its_codes(tmp_path: Path) -> None:
    from diffusers import VQModel

    torch.manual_seed(0)
    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), latent_channels=4, norm_num_groups=4, sample_size=32,
        num_vq_embeddings=64, mid_block_add_attention=False,
    ).eval()  # fmt: skip
    torch.nn.init.normal_(model.quantize.embedding.weight)
    model.save_pretrained(tmp_path)
    found = reconstruction(tmp_path, count=18, seed=4)
    drawn = World(4, split="held_out").draw(range(18)).pictures
    pixels = resize(torch.from_numpy(drawn).permute(0, 3, 1, 2) / 255, (32, 32))
    with torch.no_grad():
        z = model.encode(pixels * 2 - 1).latents
        again = (model.decode(z).sample / 2 + 0.5).clamp(0, 1)
    errors = (again - pixels).square().mean((1, 2, 3))
    assert found.psnr == pytest.approx(float(-10 * errors.log10().mean()), abs=1e-3)
    used = model.quantize(z)[2][2].unique().numel()
    assert found.codebook_use == used / 64 and 1 < used < 64
    assert reconstruction(open_vqgan(tmp_path), count=18, seed=4) == found
