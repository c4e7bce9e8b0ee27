"""Folders in the layout of diffusers' FluxPipeline: Flux.1 dev, and schnell for few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.models import _flow_folder, _folder
from limner.models._flow_transformer import FluxNetwork
from limner.models._projected import tower_weights
from limner.models._t5 import T5, open_t5
from limner.models._text_encoder import moved, packed
from limner.models._text_to_image import TextToImage
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._transformer import TextTower
from limner.models._unigram import Unigram

__all__ = ["FluxEncoder", "flux"]

_PARTS = {
    "transformer": "FluxTransformer2DModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "T5EncoderModel",
}
_WORDS = ("tokenizer", "tokenizer_2")
# From the published code and diffusers' pipeline: tokens that T5 reads, steps, and what dev is told
# of guidance.
_DEV_LENGTH, _DEV_STEPS, _DEV_SCALE = 512, 28, 3.5
_SCHNELL_LENGTH, _SCHNELL_STEPS = 256, 4
_LATENT_SIZE = 128  # nothing in the folder says it; as diffusers' pipeline has it


@dataclass(frozen=True, eq=False)
class FluxEncoder:
    """Prompts as Flux reads them: CLIP's state of the end, then T5's states."""

    clip: TextTower
    words: Tokenizer
    t5: T5
    offset: int = 1

    @property
    def tokenizer(self) -> Unigram:
        return self.t5.words

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(b, 1 + n, d): of a prompt too long for CLIP, the rest is T5's alone."""
        return packed(self.pooled(prompts), self.t5.encode(prompts))

    @torch.no_grad()
    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """CLIP's state of the end (b, p)."""
        device = self.clip.final_layer_norm.weight.device
        return self.clip.pooled(self.words.batch(phrases).to(device))

    def cut_words(self, prompt: str) -> list[str]:
        """The words that T5 has no room for."""
        return self.t5.cut_words(prompt)

    def to(self, device: torch.device, dtype: torch.dtype) -> FluxEncoder:
        return replace(self, clip=moved(self.clip, device, dtype), t5=self.t5.to(device, dtype))


def flux(folder: Path, name: str) -> TextToImage:
    """Opens a folder; float32, on the CPU. Raises BadInput for whatever does not fit."""
    there = _flow_folder.check_parts(folder, _PARTS)
    transformer: Any = _flow_folder.transformer_of(folder, _transformer)
    said = transformer.config
    if said.patch_size != 1 or said.in_channels % 4:
        raise BadInput(f"the transformer in {str(folder)!r} takes no patches of 2x2 latents")
    network = FluxNetwork(transformer)
    distilled = bool(said.guidance_embeds)
    length = _DEV_LENGTH if distilled else _SCHNELL_LENGTH
    return _flow_folder.joined(
        folder,
        name,
        network,
        _encoder(folder, length, said.joint_attention_dim, network.pooled),
        sides=(said.in_channels // 4, transformer.out_channels // 4),
        patch=2,
        latent_size=_LATENT_SIZE,
        files=_flow_folder.files_of(folder, there | set(_WORDS)),
        steps=_DEV_STEPS if distilled else _SCHNELL_STEPS,
        guidance_scale=_DEV_SCALE if distilled else 1.0,  # schnell needs none
        takes_scale=distilled,
    )


def _transformer(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    transformer = FluxTransformer2DModel.from_config(config)
    assert isinstance(transformer, nn.Module)
    return transformer


def _encoder(folder: Path, length: int, width: int, pooled: int) -> FluxEncoder:
    where = folder / "text_encoder"
    state = {k: v for k, v in tower_weights(where).items() if k != "text_projection.weight"}
    config = _folder.read_json(where / "config.json")
    clip = _folder.assembled(TextTower, config, state, where)
    words = open_tokenizer(folder / "tokenizer", clip.length)
    t5 = open_t5(folder / "text_encoder_2", folder / "tokenizer_2", length)
    given = clip.final_layer_norm.weight.shape[0]
    if given != pooled or t5.width != width or pooled > width:
        raise BadInput(
            f"the text encoders in {str(folder)!r} give states {t5.width} wide and pooled {given}: "
            f"its transformer takes {width} and {pooled}"
        )
    return FluxEncoder(clip, words, t5)
