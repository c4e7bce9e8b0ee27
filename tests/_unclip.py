"""unCLIP's parts, random and tiny, as the recipes write them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from limner import open_clip, open_model
from limner.models.adapter import base_of
from limner.models.prior import CARD
from limner.training._low_rank import Additions, export


class Exact(torch.nn.Module):
    """v of x0 ~ N(m, .6²) with m the mean of what is told: a network that can be inverted."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(
        self, x: torch.Tensor, timesteps: torch.Tensor, *, encoder_hidden_states: torch.Tensor
    ) -> Any:
        level = timesteps.long().clamp(max=len(self.table) - 1)
        alpha_bar = self.table[level].to(x).view(-1, 1, 1, 1)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        m = encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1)
        x0 = m + alpha * 0.36 / (alpha**2 * 0.36 + sigma**2) * (x - alpha * m)
        return SimpleNamespace(sample=(alpha * x - x0) / sigma)


def exact(decoder: Any) -> Any:
    """The decoder with such a network."""
    return replace(decoder, model=replace(decoder.model, unet=Exact(decoder.model.alpha_bars)))


def even_clip(folder: Path, like: Path) -> Path:
    """A CLIP of the fixture `clip_folder`'s words, whose embeddings are as wide as its states."""
    from transformers import CLIPConfig, CLIPModel

    shutil.copytree(like, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    torch.manual_seed(8)
    config = CLIPConfig.from_pretrained(like)
    config.projection_dim = 32
    for part in (config.text_config, config.vision_config):
        part.projection_dim = 32
    CLIPModel(config).save_pretrained(folder)
    return folder


def random_decoder(folder: Path, base: Path, clip: Path, tokens: int = 2, **card: Any) -> Path:
    """Lively enough that what is told matters."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(7)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    eye = open_clip(clip)
    size = eye.embed_texts(["a"]).shape[1]
    extra = {"picture": torch.nn.Linear(size, 32 * tokens)}
    additions = Additions(unet, 2, extra=extra)
    with torch.no_grad():
        for weight in additions.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    told = {"name": str(clip), "fingerprint": eye.fingerprint}
    said = {"tokens": tokens, "clip": told, "guidance_scale": 2.0} | card
    export(folder, additions, "decoder", base_of(open_model(base)), said)
    return folder


def random_prior(folder: Path, clip: Path, **config: Any) -> Path:
    from diffusers import PriorTransformer

    torch.manual_seed(9)
    eye = open_clip(clip)
    shape: dict[str, Any] = dict(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, additional_embeddings=4,
        embedding_dim=eye.embed_texts(["a"]).shape[1], num_embeddings=eye.tokenizer.length,
    )  # fmt: skip
    network = PriorTransformer(**shape | config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        network.clip_std.uniform_(0.5, 1.5)
    network.save_pretrained(folder)
    told = {"name": str(clip), "fingerprint": eye.fingerprint}
    card = {"recipe": "prior", "clip": told, "steps": 4, "guidance_scale": 1.5}
    (folder / CARD).write_text(json.dumps(card))
    return folder
