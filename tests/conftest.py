"""Model folders of Stable Diffusion's layout, built by diffusers and transformers: random, tiny.

They are small enough to paint with in a test, and StableDiffusionPipeline opens them. And the
command line, run in an empty folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

SENTENCE = "a red blue green cube sphere horse cat dog photo of on top the and astronaut riding"
WORDS = SENTENCE.split()


def tokenizer(length: int):
    """CLIP's tokenizer with an own vocabulary: every byte, and a few whole words."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens, merges = [*letters, *(letter + "</w>" for letter in letters)], []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merge = (pieces[0], pieces[1])
            if merge not in merges:
                merges.append(merge)
                tokens.append("".join(merge))
            pieces = ["".join(merge), *pieces[2:]]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=length,
    )


def text_config(words: int, length: int, end: int) -> dict:
    return dict(
        vocab_size=words, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=length, eos_token_id=end,
        bos_token_id=end - 1,
    )  # fmt: skip


UNETS = {
    "sd1": dict(attention_head_dim=4, in_channels=4, out_channels=4),
    "sd2": dict(
        attention_head_dim=[2, 4], use_linear_projection=True, in_channels=4, out_channels=4,
    ),
    "own": dict(
        attention_head_dim=4, addition_embed_type="text", addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift", in_channels=8, out_channels=8,
    ),
}  # fmt: skip
SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def build(kind: str, folder: Path) -> None:
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        EulerDiscreteScheduler,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(5)
    words = tokenizer(32 if kind == "own" else 77)
    config = text_config(len(words), words.model_max_length, words.eos_token_id)
    options = UNETS[kind]
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=32, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **options,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16), norm_num_groups=4, latent_channels=options["in_channels"],
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=0.7 if kind == "own" else 0.18215,
    )  # fmt: skip
    with torch.no_grad():  # livelier than at birth, so that text and time matter to the picture
        for weight in unet.parameters():
            weight.mul_(1.5)
    scheduler = {
        "sd1": lambda: PNDMScheduler(skip_prk_steps=True, steps_offset=1, **SCALED),
        "sd2": lambda: EulerDiscreteScheduler(prediction_type="v_prediction", **SCALED),
        "own": lambda: DDIMScheduler(
            prediction_type="v_prediction", rescale_betas_zero_snr=True, clip_sample=False, **SCALED
        ),
    }[kind]()
    StableDiffusionPipeline(
        unet=unet, vae=vae, text_encoder=CLIPTextModel(CLIPTextConfig(**config)), tokenizer=words,
        scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    if kind == "own":
        card = dict(vocabulary=WORDS, licence="MIT", size=64, guidance_scale=3.0, steps=6)
        (folder / "limner.json").write_text(json.dumps(card))


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """sd_folder("sd1" | "sd2" | "own") → a model's folder; not to be written into."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            build(kind, made[kind])
        return made[kind]

    return get


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers CLIPModel's folder with its tokenizer and preprocessor_config.json."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(6)
    folder = tmp_path_factory.mktemp("clip")
    words = tokenizer(24)
    vision = dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        image_size=32, patch_size=8,
    )  # fmt: skip
    text = text_config(len(words), 24, words.eos_token_id)
    CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    ).save_pretrained(folder)
    words.save_pretrained(folder)
    seen = dict(
        image_processor_type="CLIPImageProcessor", size={"shortest_edge": 32}, do_resize=True,
        crop_size={"height": 32, "width": 32}, do_center_crop=True, do_normalize=True, resample=3,
        image_mean=[0.48, 0.46, 0.41], image_std=[0.27, 0.26, 0.28], do_rescale=True,
    )  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    return folder


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """faces_folder("identity" | "attributes") → what limner train writes, random and tiny."""
    import torch
    from transformers import ResNetConfig, ResNetForImageClassification

    labels = {
        "identity": ["direction 0", "direction 1", "direction 2"],
        "attributes": ["smile", "domain: none", "hat", "domain: night", "beard"],
    }
    seen = dict(
        image_processor_type="CLIPImageProcessor", size={"shortest_edge": 32}, do_resize=True,
        crop_size={"height": 32, "width": 32}, do_center_crop=True, do_normalize=True, resample=3,
        image_mean=[0.5, 0.4, 0.6], image_std=[0.5, 0.6, 0.4], do_rescale=True,
    )  # fmt: skip

    @cache
    def get(recipe: str) -> Path:
        torch.manual_seed(len(recipe))
        config = ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8, 12, 16], depths=[1, 1, 1, 1], layer_type="basic",
            id2label=dict(enumerate(labels[recipe])),
        )  # fmt: skip
        network = ResNetForImageClassification(config)
        for name, values in network.named_buffers():  # statistics, as of a training
            if name.endswith("var"):
                values.uniform_(0.5, 1.5)
            elif name.endswith("mean"):
                values.normal_(std=0.3)
        folder = tmp_path_factory.mktemp(recipe)
        network.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(seen))
        (folder / "limner.json").write_text(json.dumps({"recipe": recipe, "licence": "MIT"}))
        return folder

    return get


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """run("generate", …) in an empty folder → exit status, stdout, stderr."""
    from limner.cli import main

    monkeypatch.chdir(tmp_path)

    def go(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(each) for each in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return go
