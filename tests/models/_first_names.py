"""Small random Stable Diffusion pipelines with the field's numbers of heads, and the same weights
in one file by the first names, written here from diffusers' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LAYERS, LEVELS = 2, 3
BETAS = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def pipeline(
    second: bool, words: Any, prediction: str = "epsilon", inpainting: bool = False
) -> Any:
    """diffusers' pipeline. second: as 2.x has it, else as 1.x."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(3)
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(64, 64, 128), layers_per_block=LAYERS,
        cross_attention_dim=64, attention_head_dim=[1, 1, 2] if second else 8,
        use_linear_projection=second, in_channels=9 if inpainting else 4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64), layers_per_block=1, norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=96, num_attention_heads=1,
            num_hidden_layers=2, max_position_embeddings=77, eos_token_id=words.eos_token_id,
            bos_token_id=words.bos_token_id, hidden_act="gelu" if second else "quick_gelu",
        )
    )  # fmt: skip
    with torch.no_grad():
        for weight in unet.parameters():
            weight.mul_(1.3)
    scheduler = DDIMScheduler(
        prediction_type=prediction,
        clip_sample=False,
        steps_offset=1,
        timestep_spacing="trailing",
        **BETAS,
    )
    return StableDiffusionPipeline(
        unet=unet, vae=vae, text_encoder=text, tokenizer=words, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def xl_pipeline(words: Any, other: Any, inpainting: bool = False) -> Any:
    """diffusers' pipeline, as XL has it. other: words of its second text encoder."""
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    plain = pipeline(False, words)
    torch.manual_seed(4)
    unet = UNet2DConditionModel(
        sample_size=128, block_out_channels=(64, 64, 128), layers_per_block=LAYERS,
        cross_attention_dim=64 + 64, attention_head_dim=[1, 1, 2], use_linear_projection=True,
        transformer_layers_per_block=[1, 1, 2], in_channels=9 if inpainting else 4,
        addition_embed_type="text_time", addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=32 + 6 * 16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    config = CLIPTextConfig(
        vocab_size=len(other), hidden_size=64, intermediate_size=96, num_attention_heads=1,
        num_hidden_layers=3, max_position_embeddings=77, eos_token_id=other.eos_token_id,
        bos_token_id=other.bos_token_id, hidden_act="gelu", projection_dim=32,
    )  # fmt: skip
    plain.vae.register_to_config(scaling_factor=0.13025)
    return StableDiffusionXLPipeline(
        unet=unet, vae=plain.vae, text_encoder=plain.text_encoder, tokenizer=words,
        text_encoder_2=CLIPTextModelWithProjection(config), tokenizer_2=other,
        scheduler=DDIMScheduler(
            clip_sample=False, steps_offset=1, timestep_spacing="trailing", **BETAS
        ),
    )  # fmt: skip


def xl_first_names(pipe: Any) -> dict[str, Tensor]:
    """XL's weights as its original scripts saved them."""
    out = first_names(pipe, False, xl=True)
    text = pipe.text_encoder_2.state_dict()
    bare = {name.removeprefix("text_model."): value for name, value in text.items()}
    own = open_clip(bare, 3) | {"text_projection": text["text_projection.weight"].T}
    out |= {"conditioner.embedders.1.model." + name: value for name, value in own.items()}
    first = "cond_stage_model.", "conditioner.embedders.0."
    return {name.replace(*first): value.contiguous().clone() for name, value in out.items()}


def first_names(pipe: Any, second: bool, xl: bool = False) -> dict[str, Tensor]:
    """A pipeline's weights as the original scripts saved them."""
    out: dict[str, Tensor] = {}
    for name, value in pipe.unet.state_dict().items():
        out["model.diffusion_model." + unet_name(name, xl)] = value
    for name, value in pipe.vae.state_dict().items():
        square = ".attentions." in name and value.ndim == 2
        out["first_stage_model." + vae_name(name)] = value[:, :, None, None] if square else value
    text = pipe.text_encoder.state_dict()
    text = {name.removeprefix("text_model."): value for name, value in text.items()}
    if second:
        out |= {"cond_stage_model.model." + n: v for n, v in open_clip(text).items()}
    else:
        out |= {"cond_stage_model.transformer.text_model." + n: v for n, v in text.items()}
        ids = torch.arange(77)[None]
        out["cond_stage_model.transformer.text_model.embeddings.position_ids"] = ids
    out["alphas_cumprod"] = pipe.scheduler.alphas_cumprod.clone()
    out["model_ema.decay"] = torch.tensor(0.9999)
    out["first_stage_model.loss.logvar"] = torch.zeros(())
    return {name: value.contiguous().clone() for name, value in out.items()}


def unet_name(name: str, xl: bool = False, layers: int = LAYERS) -> str:
    head, *rest = name.split(".")
    tail = ".".join(rest[2:])
    if head == "time_embedding":
        return f"time_embed.{'0' if rest[0] == 'linear_1' else '2'}.{rest[1]}"
    if head == "add_embedding":
        return f"label_emb.0.{'0' if rest[0] == 'linear_1' else '2'}.{rest[1]}"
    if head == "conv_in":
        return f"input_blocks.0.0.{rest[0]}"
    if head in ("conv_norm_out", "conv_out"):
        return f"out.{'0' if head == 'conv_norm_out' else '2'}.{rest[0]}"
    if head == "mid_block":
        place = 1 if rest[0] == "attentions" else 2 * int(rest[1])
        return f"middle_block.{place}.{layer_name(tail)}"
    level, kind, number = int(rest[0]), rest[1], int(rest[2])
    tail = ".".join(rest[3:])
    if head == "down_blocks":
        place = 1 + level * (layers + 1) + number
        if kind == "downsamplers":
            return f"input_blocks.{place + layers}.0.op.{rest[-1]}"
        return f"input_blocks.{place}.{int(kind == 'attentions')}.{layer_name(tail)}"
    place = level * (layers + 1) + number
    if kind == "upsamplers":
        return f"output_blocks.{place + layers}.{1 if level == 0 and not xl else 2}.conv.{rest[-1]}"
    return f"output_blocks.{place}.{int(kind == 'attentions')}.{layer_name(tail)}"


def layer_name(tail: str) -> str:
    first, _, last = tail.partition(".")
    return f"{RESNET[first]}.{last}" if first in RESNET else tail


def vae_name(name: str) -> str:
    parts = name.split(".")
    if parts[1] in ("down_blocks", "up_blocks"):
        level = int(parts[2]) if parts[1] == "down_blocks" else LEVELS - 1 - int(parts[2])
        way = parts[1].removesuffix("_blocks")
        if parts[3] != "resnets":
            return f"{parts[0]}.{way}.{level}.{way}sample.conv.{parts[-1]}"
        rest = ".".join(parts[5:]).replace("conv_shortcut", "nin_shortcut")
        return f"{parts[0]}.{way}.{level}.block.{parts[4]}.{rest}"
    if parts[1] == "mid_block" and parts[2] == "resnets":
        return f"{parts[0]}.mid.block_{int(parts[3]) + 1}.{'.'.join(parts[4:])}"
    if parts[1] == "mid_block":
        old = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
        return f"{parts[0]}.mid.attn_1.{old[parts[4]]}.{parts[-1]}"
    return name.replace("conv_norm_out", "norm_out")


def open_clip(text: dict[str, Tensor], layers: int = 2) -> dict[str, Tensor]:
    """transformers' names → open_clip's; of 2 layers, with the third that 2.x does without."""
    out = {
        "token_embedding.weight": text["embeddings.token_embedding.weight"],
        "positional_embedding": text["embeddings.position_embedding.weight"],
        "ln_final.weight": text["final_layer_norm.weight"],
        "ln_final.bias": text["final_layer_norm.bias"],
        "text_projection": torch.randn(64, 64),
        "logit_scale": torch.tensor(4.6),
    }
    new = {
        "self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    }  # fmt: skip
    for layer in range(3):
        from_, to = f"encoder.layers.{min(layer, layers - 1)}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            for old, own in new.items():
                out[f"{to}{own}.{kind}"] = text[f"{from_}{old}.{kind}"]
            joined = [text[f"{from_}self_attn.{each}_proj.{kind}"] for each in "qkv"]
            out[f"{to}attn.in_proj_{kind}"] = torch.cat(joined)
    return out


def clip_words(pad: str) -> Any:
    """transformers' CLIPTokenizer with CLIP's own vocabulary, built from limner's copy of it."""
    import gzip

    from transformers import CLIPTokenizer

    import limner

    file = Path(limner.__file__).parent / "embedded" / "words" / "merges.txt.gz"
    merges = [
        tuple(line.split()) for line in gzip.decompress(file.read_bytes()).decode().split("\n")
    ]
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(i) for i in own] + [chr(256 + i) for i in range(256 - len(own))]
    tokens = letters + [each + "</w>" for each in letters] + ["".join(each) for each in merges]
    vocab = {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad, model_max_length=77)
