"""A ControlNet's first names (github.com/lllyasviel/ControlNet): its weights by diffusers' names.

It has the U-Net's way down by the U-Net's first names, see `_original.py`, and of its own the
convolutions that are zero at its birth (`zero_convs.N.0`, `middle_block_out.0`) and those that make
a latent's cells of the picture (`input_hint_block.N`, each with an activation behind it).
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from torch import Tensor

from limner.errors import BadInput
from limner.models._families import under
from limner.models._original import unet_of_original

__all__ = ["control_of_original", "is_original_control"]

State = dict[str, Tensor]
_PREFIX = "control_model."
_EDGE = "input_hint_block.0.weight"
_OWN = (
    (r"zero_convs\.(\d+)\.0\.", r"controlnet_down_blocks.\1."),
    (r"middle_block_out\.0\.", "controlnet_mid_block."),
)
_FREQUENCIES = 256  # numbers for each of the sizes that XL is told (sd_xl_base.yaml)
_ABSENT = ("out_channels", "up_block_types", "time_cond_proj_dim")  # from a ControlNet's config


def is_original_control(names: Container[str]) -> bool:
    """Whether a file with tensors of these names holds a ControlNet, alone or with its model."""
    return _EDGE in names or _PREFIX + _EDGE in names


def control_of_original(state: State) -> tuple[dict[str, Any], State]:
    """The config and weights of diffusers' ControlNetModel. Raises BadInput."""
    if _PREFIX + _EDGE in state:
        state = under(state, _PREFIX)
    first = state.get("input_blocks.0.0.weight")
    if first is None or first.ndim != 4:
        raise BadInput("it lacks 'input_blocks.0.0.weight'")
    own = {name: value for name, value in state.items() if _own_name(name, state) is not None}
    rest = {name: value for name, value in state.items() if name not in own}
    # The way up is missing: what its last layer would have is as many channels as come in.
    config, weights = unet_of_original(rest | {"out.2.weight": first.transpose(0, 1)})
    del weights["conv_out.weight"]
    config = {name: value for name, value in config.items() if name not in _ABSENT}
    if config.get("addition_embed_type") == "text_time":
        config["addition_time_embed_dim"] = _FREQUENCIES
    hints = _hints(state)
    widths = [state[f"input_hint_block.{k}.weight"].shape[0] for k in hints[:-1]]
    config["conditioning_embedding_out_channels"] = [widths[0], *widths[2::2]]
    return config, weights | {str(_own_name(name, state)): value for name, value in own.items()}


def _hints(state: State) -> list[int]:
    """The places of the picture's convolutions."""
    found = (re.fullmatch(r"input_hint_block\.(\d{1,2})\.weight", name) for name in state)
    places = sorted(int(each[1]) for each in found if each)
    if len(places) < 4 or len(places) % 2:
        raise BadInput(f"{len(places)} convolutions make its picture small: expected 8")
    return places


def _own_name(name: str, state: State) -> str | None:
    """diffusers' name of what only a ControlNet has, else None."""
    for old, new in _OWN:
        if re.match(old, name):
            return re.sub(old, new, name)
    hint = re.fullmatch(r"input_hint_block\.(\d{1,2})\.(weight|bias)", name)
    if not hint:
        return None
    places = _hints(state)
    at = places.index(int(hint[1])) if int(hint[1]) in places else len(places)
    layer = "conv_in" if at == 0 else "conv_out" if at == len(places) - 1 else f"blocks.{at - 1}"
    return f"controlnet_cond_embedding.{layer}.{hint[2]}"
