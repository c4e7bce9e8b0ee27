"""Small random pipelines in the layout of Stable Diffusion XL, latent consistency models and Turbo,
by diffusers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limner import Picture

SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
LCM = dict(time_cond_proj_dim=16)
KINDS: dict[str, dict[str, Any]] = {
    "xl": {},
    "xl inpainting": dict(in_channels=9),
    "xl lcm": LCM,
    "xl turbo": {},
    "lcm": LCM,
    "turbo": {},
}


def scheduler(kind: str) -> Any:
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        LCMScheduler,
    )

    if kind.endswith("lcm"):
        return LCMScheduler(**SCALED)
    if kind == "xl turbo":
        return EulerAncestralDiscreteScheduler(timestep_spacing="trailing", **SCALED)
    spacing = "trailing" if kind == "turbo" else "leading"
    return EulerDiscreteScheduler(timestep_spacing=spacing, steps_offset=1, **SCALED)


def pipeline(kind: str, words: Path) -> Any:
    """words: a folder of CLIP's tokenizer."""
    from diffusers import (
        AutoencoderKL,
        LatentConsistencyModelPipeline,
        StableDiffusionPipeline,
        StableDiffusionXLInpaintPipeline,
        StableDiffusionXLPipeline,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    torch.manual_seed(11)
    first, other = (CLIPTokenizer.from_pretrained(words) for _ in range(2))
    other.pad_token = "!"
    config = dict(
        vocab_size=len(first), hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, eos_token_id=first.eos_token_id, bos_token_id=first.bos_token_id,
    )  # fmt: skip
    xl = kind.startswith("xl")
    unet = _unet(xl, KINDS[kind])
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=0.13025 if xl else 0.18215,
    )  # fmt: skip
    parts = dict(
        unet=unet, vae=vae, text_encoder=CLIPTextModel(CLIPTextConfig(**config)), tokenizer=first,
        scheduler=scheduler(kind),
    )  # fmt: skip
    if not xl:
        made = LatentConsistencyModelPipeline if kind == "lcm" else StableDiffusionPipeline
        none = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        return made(**parts, **none)
    wide = config | dict(hidden_size=24, intermediate_size=40, hidden_act="gelu", projection_dim=20)
    second = CLIPTextModelWithProjection(CLIPTextConfig(**wide))
    made = StableDiffusionXLInpaintPipeline if "inpaint" in kind else StableDiffusionXLPipeline
    return made(**parts, text_encoder_2=second, tokenizer_2=other)


def _unet(xl: bool, options: dict[str, Any]) -> Any:
    from diffusers import UNet2DConditionModel

    sized = dict(
        cross_attention_dim=56, transformer_layers_per_block=[1, 2], attention_head_dim=[2, 4],
        addition_embed_type="text_time", addition_time_embed_dim=8, use_linear_projection=True,
        projection_class_embeddings_input_dim=20 + 6 * 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    plain = dict(
        cross_attention_dim=32, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        **(sized if xl else plain), **options,
    )  # fmt: skip
    with torch.no_grad():  # livelier than at birth, so that text and time matter to the picture
        for weight in unet.parameters():
            weight.mul_(1.5)
    return unet


PROMPT = "a red cube on top of the cat"


@cache
def opened(folder: Path) -> tuple[Any, dict[str, Any]]:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe, dict(pipe.scheduler.config)


def theirs(folder: Path, *, ddim: bool = False, **options: Any) -> np.ndarray:
    """diffusers' pictures (b, h, w, 3) under their own scheduler, or by DDIM as limner's `ddim`."""
    from diffusers import DDIMScheduler

    pipe, config = opened(folder)
    if ddim:
        config = config | {"timestep_spacing": "trailing"}
        pipe.scheduler = DDIMScheduler.from_config(config, clip_sample=False)
    return pipe(PROMPT, output_type="np", **options).images


def pixels(pictures: list[Picture]) -> np.ndarray:
    return torch.stack([each.pixels for each in pictures]).permute(0, 2, 3, 1).numpy()
