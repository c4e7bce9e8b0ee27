"""Stable Diffusion's first names: a checkpoint's weights by diffusers' names, and their sizes.

Rombach et al. 2022 (github.com/CompVis/latent-diffusion) number a network's layers through
(`input_blocks.7.1`), where diffusers counts within a resolution (`down_blocks.2.attentions.0`).
What a config would say is read off the tensors' shapes; only the number of attention heads is not
in them: 8 in 1.x, one for each 64 channels in 2.x, XL and every text encoder.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from limner.errors import BadInput

__all__ = ["clip_of", "layer_of_original", "open_clip_of", "unet_of_original", "vae_of_original"]

State = dict[str, Tensor]
_HEAD = 64  # channels of an attention head, where the heads' number is not the same everywhere
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "time_embed.cond_proj": "time_embedding.cond_proj",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_VAE = (
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.", r".up_blocks.\1.resnets."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
)
_OPEN_CLIP = (
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^ln_final\.", "final_layer_norm."),
    (r"^token_embedding\.", "embeddings.token_embedding."),
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
)


def unet_of_original(state: State) -> tuple[dict[str, Any], State]:
    """The U-Net's config and weights; `state` is what is under "model.diffusion_model."."""
    inputs = _numbers(state, r"input_blocks\.(\d+)\.")
    downs = [i for i in inputs if f"input_blocks.{i}.0.op.weight" in state]
    layers = (downs[0] if downs else len(inputs)) - 1
    firsts = [1 + level * (layers + 1) for level in range(len(downs) + 1)]
    widths = [_size(state, f"input_blocks.{i}.0.out_layers.3.weight", 0) for i in firsts]
    attends = [f"input_blocks.{i}.1.norm.weight" in state for i in firsts]
    middle = _depth(state, "middle_block.1")
    depths = [_depth(state, f"input_blocks.{i}.1") or 1 for i in firsts]
    if attends[-1] and depths[-1] != middle:
        raise BadInput(
            f"its U-Net has {depths[-1]} layers in its last level, {middle} in the middle"
        )
    told = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    linear = state[_known(state, "middle_block.1.proj_in.weight")].ndim == 2
    config = dict(
        in_channels=_size(state, "input_blocks.0.0.weight", 1),
        out_channels=_size(state, "out.2.weight", 0),
        block_out_channels=widths,
        layers_per_block=layers,
        cross_attention_dim=_size(state, told, 1),
        use_linear_projection=linear,
        attention_head_dim=[max(width // _HEAD, 1) for width in widths] if linear else 8,
        transformer_layers_per_block=[*depths[:-1], middle],
        down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends],
        up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attends[::-1]],
    )
    if "time_embed.cond_proj.weight" in state:
        config["time_cond_proj_dim"] = _size(state, "time_embed.cond_proj.weight", 1)
    if "label_emb.0.0.weight" in state:
        config["addition_embed_type"] = "text_time"
        config["projection_class_embeddings_input_dim"] = _size(state, "label_emb.0.0.weight", 1)
    return config, {_unet_name(name, layers + 1): value for name, value in state.items()}


def _depth(state: State, transformer: str) -> int:
    return len(_numbers(state, re.escape(transformer) + r"\.transformer_blocks\.(\d+)\."))


def _unet_name(name: str, period: int) -> str:
    """`period`: blocks of a resolution, on the way down its layers and the change to the next."""
    for old, new in _UNET.items():
        if name.startswith(old + "."):
            return new + name[len(old) :]
    found = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", name)
    if not found:
        middle = re.fullmatch(r"middle_block\.([012])\.(.+)", name)
        return f"mid_block.{_MIDDLE[middle[1]]}.{_resnet(middle[2])}" if middle else name
    place = int(found[2]) - (found[1] == "input")
    blocks = "down_blocks" if found[1] == "input" else "up_blocks"
    block, rest = f"{blocks}.{place // period}", found[4]
    if rest.startswith("op."):
        return f"{block}.downsamplers.0.conv.{rest[3:]}"
    if rest.startswith("conv."):
        return f"{block}.upsamplers.0.{rest}"
    kind = "attentions" if found[3] == "1" else "resnets"
    return f"{block}.{kind}.{place % period}.{_resnet(rest)}"


def layer_of_original(said: str, layers: int) -> str:
    """A U-Net's layer by its first name as kohya's scripts write it, with underscores for dots, and
    by diffusers' name, likewise: input_blocks_4_1_proj_in → down_blocks_1_attentions_0_proj_in.

    layers: of a resolution
    """
    known = {old.replace(".", "_"): old for old in (*_UNET, *_RESNET)}
    place = re.match(r"(?:(input|output)_blocks_(\d+)_(\d)_|(middle_block)_([012])_)", said)
    name = known.get(said, said)
    if place:
        rest = said[place.end() :]
        numbers = (place[1] + "_blocks", *place.group(2, 3)) if place[1] else place.group(4, 5)
        name = ".".join([*numbers, known.get(rest, rest)])
    return _unet_name(name + ".", layers + 1).removesuffix(".").replace(".", "_")


def _resnet(rest: str) -> str:
    for old, new in _RESNET.items():
        if rest.startswith(old + "."):
            return new + rest[len(old) :]
    return rest


def vae_of_original(state: State) -> tuple[dict[str, Any], State]:
    """The autoencoder's config and weights; `state` is what is under "first_stage_model."."""
    levels = len(_numbers(state, r"encoder\.down\.(\d+)\."))
    config = dict(
        block_out_channels=[
            _size(state, f"encoder.down.{i}.block.0.conv2.weight", 0) for i in range(levels)
        ],
        layers_per_block=len(_numbers(state, r"encoder\.down\.0\.block\.(\d+)\.")),
        latent_channels=_size(state, "decoder.conv_in.weight", 1),
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        scaling_factor=0.18215,  # Rombach et al. 2022, appendix G
    )
    out = {}
    for name, value in state.items():
        if name.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")):
            out[_turned(_renamed(name, _VAE), levels)] = value
    return config, out


def _turned(name: str, levels: int) -> str:
    """The first names count the resolutions on the way up from the finest, diffusers' do not."""
    found = re.match(r"decoder\.up_blocks\.(\d+)\.", name)
    if not found:
        return name
    return f"decoder.up_blocks.{levels - 1 - int(found[1])}.{name[found.end() :]}"


def clip_of(state: State) -> tuple[dict[str, Any], State]:
    """The text encoder of 1.x, transformers' CLIPTextModel: config and weights."""
    out = {
        name.removeprefix("text_model."): value
        for name, value in state.items()
        if not name.endswith("position_ids")
    }
    return _text_config(out, "quick_gelu", cut=0), out


def open_clip_of(state: State, cut: int = 1) -> tuple[dict[str, Any], State]:
    """The text encoder of 2.x, open_clip's: without its last layer, which 2.x does without. XL's is
    cut by none, and has a projection."""
    out: State = {}
    for name, value in state.items():
        new = _renamed(name, _OPEN_CLIP)
        joined = re.fullmatch(r"(.+)\.attn\.in_proj_(weight|bias)", new)
        if joined:
            for each, part in zip("qkv", torch.chunk(value, 3)):
                out[f"{joined[1]}.self_attn.{each}_proj.{joined[2]}"] = part.contiguous()
        elif new != name:
            out[new] = value
    if not cut:
        out["text_projection.weight"] = state[_known(state, "text_projection")].T.contiguous()
    config = _text_config(out, "gelu", cut)
    last = f"encoder.layers.{config['num_hidden_layers']}."
    return config, {name: value for name, value in out.items() if not name.startswith(last)}


def _text_config(state: State, activation: str, cut: int) -> dict[str, Any]:
    words = "embeddings.token_embedding.weight"
    width = _size(state, words, 1)
    return dict(
        vocab_size=_size(state, words, 0),
        hidden_size=width,
        intermediate_size=_size(state, "encoder.layers.0.mlp.fc1.weight", 0),
        num_hidden_layers=len(_numbers(state, r"encoder\.layers\.(\d+)\.")) - cut,
        num_attention_heads=max(width // _HEAD, 1),
        max_position_embeddings=_size(state, "embeddings.position_embedding.weight", 0),
        hidden_act=activation,
        eos_token_id=_size(state, words, 0) - 1,
    )


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in rules:
        name = re.sub(old, new, name)
    return name


def _numbers(state: State, pattern: str) -> list[int]:
    """The numbers that stand at one place of the names, in order."""
    found = (re.match(pattern, name) for name in state)
    return sorted({int(each[1]) for each in found if each and len(each[1]) < 4})


def _known(state: State, name: str) -> str:
    if name not in state:
        raise BadInput(f"it lacks {name!r}")
    return name


def _size(state: State, name: str, dim: int) -> int:
    shape = state[_known(state, name)].shape
    if len(shape) <= dim:
        raise BadInput(f"its {name!r} has the shape {tuple(shape)}")
    return int(shape[dim])
