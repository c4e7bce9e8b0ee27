"""Which configs of diffusers' UNet2DConditionModel `_unet.py` computes."""

from __future__ import annotations

from typing import Any

__all__ = ["DOWN", "UP", "runs"]

# What a config may say of the things that are left out; a config that says anything else is
# run by diffusers itself. A missing entry is diffusers' default, which is the first here.
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None, "text", "text_time"),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_scale_factor": (1, 1.0),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "num_attention_heads": (None,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "resnet_out_scale_factor": (1.0, 1),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "reverse_transformer_layers_per_block": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}


def runs(config: dict[str, Any]) -> bool:
    """Whether `_unet.py` computes what the config describes."""
    plain = ("cross_attention_dim", "layers_per_block")
    depth = config.get("transformer_layers_per_block", 1)
    return (
        all(config.get(key, allowed[0]) in allowed for key, allowed in _ALLOWED.items())
        and all(isinstance(config.get(key, 1), int) for key in plain)
        and isinstance(config.get("time_cond_proj_dim"), (int, type(None)))
        and all(isinstance(each, int) for each in (depth if isinstance(depth, list) else [depth]))
        and all(isinstance(config.get(key), list) for key in ("block_out_channels",))
        and all(kind in DOWN for kind in config.get("down_block_types", ["?"]))
        and all(kind in UP for kind in config.get("up_block_types", ["?"]))
        and len(config["down_block_types"]) == len(config["block_out_channels"])
        and len(config["up_block_types"]) == len(config["block_out_channels"])
        and config.get("norm_num_groups", 32) is not None
    )
