"""Random adapters of tiny models, as the recipes write them."""

from __future__ import annotations

from pathlib import Path

import torch

from limner import open_model
from limner.models.adapter import base_of
from limner.training._low_rank import Additions, export, widen

PHRASE = 3  # numbers that a phrase is laid out as


def random_adapter(folder: Path, base: Path, kind: str) -> Path:
    """For `regions` or `inpainting`, lively enough that what is shown matters."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(7)
    model = open_model(base)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    beside = PHRASE + 2 if kind == "regions" else model.channels + 1
    extra = {"phrase": torch.nn.Linear(32, PHRASE)} if kind == "regions" else {}
    additions = Additions(unet, 2, whole=widen(unet, beside), extra=extra)
    with torch.no_grad():
        for weight in additions.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    config = {"in_channels": unet.config.in_channels}
    export(folder, additions, kind, base_of(model), {"beside": beside, "config": config})
    return folder
