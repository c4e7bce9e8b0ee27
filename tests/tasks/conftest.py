"""Models that several tasks are tried with: random, tiny."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vqgan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VQModel's folder, with 24 codes, for pictures of 32 pixels."""
    import torch
    from diffusers import VQModel

    torch.manual_seed(3)
    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16), latent_channels=4, norm_num_groups=4, num_vq_embeddings=24,
        sample_size=32,
    )  # fmt: skip
    torch.nn.init.normal_(model.quantize.embedding.weight, std=0.3)
    folder = tmp_path_factory.mktemp("vqgan")
    model.save_pretrained(folder)
    return folder
