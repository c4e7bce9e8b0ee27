"""Folders of flow transformers, written by diffusers' own pipelines: random, tiny."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

WIDTH = 48  # of the states
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!'é"


def build(kind: str, folder: Path, words: Any) -> None:
    """kind: sd3, sd3_without_t5, flux_dev or flux_schnell. words: CLIP's tokenizer."""
    if kind.startswith("flux"):
        _flux(folder, words, dev=kind == "flux_dev")
    elif kind == "sd3":  # as 3.5 has it
        _sd3(folder, words, qk_norm="rms_norm", dual_attention_layers=(0,))
    else:
        _sd3(folder, words, t5=False)


def _sd3(folder: Path, clip_words: Any, *, t5: bool = True, **options: Any) -> None:
    """options: of the transformer."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(3)
    transformer = SD3Transformer2DModel(
        sample_size=8, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=WIDTH, caption_projection_dim=16,
        pooled_projection_dim=24, pos_embed_max_size=8, **options,
    )  # fmt: skip
    StableDiffusion3Pipeline(
        transformer=_lively(transformer), scheduler=_scheduler(shift=3.0), vae=_vae(),
        text_encoder=_projected(clip_words, 16, "quick_gelu"), tokenizer=clip_words,
        text_encoder_2=_projected(clip_words, 8, "gelu"), tokenizer_2=clip_words,
        text_encoder_3=_t5() if t5 else None, tokenizer_3=t5_words() if t5 else None,
    ).save_pretrained(folder)  # fmt: skip


def _flux(folder: Path, clip_words: Any, *, dev: bool) -> None:
    from diffusers import FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(4)
    transformer = FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=16,
        guidance_embeds=dev, axes_dims_rope=(2, 2, 4),
    )  # fmt: skip
    scheduler = _scheduler(shift=3.0, use_dynamic_shifting=True) if dev else _scheduler(shift=1.0)
    FluxPipeline(
        transformer=_lively(transformer), scheduler=scheduler, vae=_vae(),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_clip(clip_words, "quick_gelu"))),
        tokenizer=clip_words, text_encoder_2=_t5(), tokenizer_2=t5_words(),
    ).save_pretrained(folder)  # fmt: skip


def t5_words() -> Any:
    """T5's tokenizer with a vocabulary of its own: a few whole words, and letters."""
    from transformers import T5Tokenizer

    words = ["a", "red", "blue", "green", "cube", "horse", "cat", "dog", "on", "top", "of", "the"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3 - i / 10) for i, word in enumerate(words)]
    pieces += [(letter, -8 - i / 100) for i, letter in enumerate(LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def _t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    size = len(t5_words())
    return T5EncoderModel(
        T5Config(
            vocab_size=size, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    ).eval()  # fmt: skip


def _clip(words: Any, activation: str) -> dict[str, Any]:
    return dict(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, eos_token_id=words.eos_token_id,
        bos_token_id=words.bos_token_id, hidden_act=activation,
    )  # fmt: skip


def _projected(words: Any, width: int, activation: str) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(
        CLIPTextConfig(**_clip(words, activation), projection_dim=width)
    ).eval()


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 16), norm_num_groups=4, latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip


def _scheduler(**options: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)


def _lively(transformer: Any) -> Any:
    """Livelier than at birth, so that text, places and time matter to the picture."""
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=1.5 * weight.shape[1] ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(std=0.1)
    return transformer.eval()


@contextmanager
def listened() -> Iterator[list[Tensor]]:
    """What the attention that runs while it is open gives each key, (b, queries, keys), in turn."""
    shares: list[Tensor] = []
    real = functional.scaled_dot_product_attention

    def attend(query: Tensor, key: Tensor, *rest: Any, **options: Any) -> Tensor:
        shares.append((query @ key.mT * query.shape[-1] ** -0.5).softmax(-1).mean(1))
        return real(query, key, *rest, **options)

    functional.scaled_dot_product_attention = attend
    try:
        yield shares
    finally:
        functional.scaled_dot_product_attention = real


def wide(shares: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, pixels of half the size, n) → (b, n, *size)."""
    inner = [-(-side // 2) for side in size]
    maps = shares.transpose(1, 2).unflatten(2, inner)
    return functional.interpolate(maps, size, mode="bicubic").clamp(min=0)
