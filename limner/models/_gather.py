"""Weights that a U-Net's file keeps in many small matrices, put side by side into few large ones.

At the size of a latent, a call costs more than the arithmetic of a small matrix. So the projections
of the time, one for each resnet, are one matrix, and so are the three of each self-attention.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

__all__ = ["gathered"]

_TIME = re.compile(
    r"(down_blocks|mid_block|up_blocks)\.?(\d*)\.resnets\.(\d+)\.time_emb_proj\.(weight|bias)"
)
_SELF = re.compile(r"(.*\.attn1)\.to_q\.weight")
_ORDER = ("down_blocks", "mid_block", "up_blocks")  # in which a U-Net runs its blocks


def gathered(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of diffusers' UNet2DConditionModel under the names of `_unet.UNet`.

    What is not all there is left under its own name, for whoever loads it to complain of.
    """
    out = dict(state)
    for name in state:
        found = _SELF.fullmatch(name)
        parts = [f"{found[1]}.to_{each}.weight" for each in "qkv"] if found else []
        if found and all(part in out for part in parts):
            out[f"{found[1]}.to_qkv.weight"] = torch.cat([out.pop(part) for part in parts])
    for kind in ("weight", "bias"):
        names = [each for each in map(_TIME.fullmatch, out) if each and each[4] == kind]
        names.sort(key=lambda each: (_ORDER.index(each[1]), int(each[2] or 0), int(each[3])))
        if names:
            rows = [out.pop(each[0]) for each in names]
            out[f"time_projections.{kind}"] = torch.cat(rows)
    return out
