"""Folders in the layout of diffusers' StableDiffusion3Pipeline: Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.errors import BadInput
from limner.models import _flow_folder
from limner.models._flow_transformer import SD3Network
from limner.models._projected import ProjectedTower, open_projected
from limner.models._t5 import T5, open_t5
from limner.models._text_encoder import moved, packed
from limner.models._text_to_image import TextToImage
from limner.models._tokenizer import Tokenizer, open_tokenizer
from limner.models._unigram import Unigram

__all__ = ["SD3Encoder", "sd3"]

_PARTS = {
    "transformer": "SD3Transformer2DModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModelWithProjection",
    "text_encoder_2": "CLIPTextModelWithProjection",
    "text_encoder_3": "T5EncoderModel",
}
_WORDS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_LENGTH = 256  # tokens that T5 reads, as diffusers' pipeline has it


@dataclass(frozen=True)
class BothWords:
    """Where words are among the states: CLIP's come first, then T5's."""

    clip: Tokenizer
    t5: Unigram | None

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """See `Speller`."""
        later = self.t5.spans(text) if self.t5 else []
        first = self.clip.spans(text, windows=1)
        return first + [(a, b, self.clip.length + at) for a, b, at in later]


@dataclass(frozen=True, eq=False)
class SD3Encoder:
    """Prompts as Stable Diffusion 3 reads them (Esser et al. 2024, figure 2): the pooled text of
    two CLIPs, then their states side by side, then T5's.

    towers:  CLIP's, with the words of each
    t5:      or None: nothing is read in its place, which the model was trained to bear
    width:   d of the states
    """

    towers: tuple[tuple[ProjectedTower, Tokenizer], tuple[ProjectedTower, Tokenizer]]
    t5: T5 | None
    width: int
    offset: int = 1

    @property
    def tokenizer(self) -> BothWords:
        return BothWords(self.towers[0][1], self.t5.words if self.t5 else None)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """(b, 1 + 77 + 256, d): of a prompt too long for CLIP, the rest is T5's alone."""
        read = self._read(prompts)
        clip = torch.cat([states for states, _ in read], 2)
        clip = functional.pad(clip, (0, self.width - clip.shape[2]))
        t5 = self.t5.encode(prompts) if self.t5 else clip.new_zeros(len(clip), _LENGTH, self.width)
        return packed(torch.cat([pooled for _, pooled in read], 1), torch.cat([clip, t5], 1))

    @torch.no_grad()
    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """Both CLIPs' projected ends (b, p)."""
        return torch.cat([pooled for _, pooled in self._read(phrases)], 1)

    def cut_words(self, prompt: str) -> list[str]:
        """The words that none of the encoders has room for."""
        if self.t5 is not None:
            return self.t5.cut_words(prompt)
        words = self.towers[0][1]
        return words.text(words.ids(prompt)[words.room :]).split()

    def to(self, device: torch.device, dtype: torch.dtype) -> SD3Encoder:
        one, two = ((moved(tower, device, dtype), words) for tower, words in self.towers)
        t5 = None if self.t5 is None else self.t5.to(device, dtype)
        return replace(self, towers=(one, two), t5=t5)

    def _read(self, prompts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        return [
            tower(words.batch(prompts).to(tower.projection.weight.device))
            for tower, words in self.towers
        ]


def sd3(folder: Path, name: str) -> TextToImage:
    """Opens a folder; float32, on the CPU. Raises BadInput for whatever does not fit."""
    there = _flow_folder.check_parts(folder, _PARTS, optional=("text_encoder_3",))
    transformer: Any = _flow_folder.transformer_of(folder, _transformer)
    network, said = SD3Network(transformer), transformer.config
    return _flow_folder.joined(
        folder,
        name,
        network,
        _encoder(folder, there, said.joint_attention_dim, network.pooled),
        sides=(said.in_channels, transformer.out_channels),
        patch=network.patch,
        latent_size=said.sample_size,
        files=_flow_folder.files_of(folder, there | set(_WORDS)),
        steps=28,  # as diffusers' pipeline has it, and the scale
        guidance_scale=7.0,
    )


def _transformer(config: dict[str, Any]) -> nn.Module:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    transformer = SD3Transformer2DModel.from_config(config)
    assert isinstance(transformer, nn.Module)
    return transformer


def _encoder(folder: Path, there: set[str], width: int, pooled: int) -> SD3Encoder:
    one, two = (_tower(folder, end) for end in ("", "_2"))
    t5 = None
    if "text_encoder_3" in there:
        t5 = open_t5(folder / "text_encoder_3", folder / "tokenizer_3", _LENGTH)
    wide = sum(tower.tower.final_layer_norm.weight.shape[0] for tower, _ in (one, two))
    projected = sum(tower.projection.weight.shape[0] for tower, _ in (one, two))
    if projected != pooled or max(wide, pooled) > width or (t5 and t5.width != width):
        raise BadInput(
            f"the text encoders in {str(folder)!r} give states {wide} and {t5 and t5.width} wide "
            f"and pooled {projected}: its transformer takes {width} and {pooled}"
        )
    return SD3Encoder((one, two), t5, width)


def _tower(folder: Path, end: str) -> tuple[ProjectedTower, Tokenizer]:
    tower = open_projected(folder / f"text_encoder{end}")
    return tower, open_tokenizer(folder / f"tokenizer{end}", tower.tower.length)
