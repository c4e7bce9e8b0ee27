"""A text-to-image model of Stable Diffusion's layout, opened: its parts and what joins them."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.errors import BadInput
from limner.levels import Shift
from limner.models._autoencoder import Autoencoder, LibraryCodec
from limner.models._folder import cache_folder, fingerprint
from limner.models._heap import hand_back
from limner.models._taesd import Halves
from limner.models._text_encoder import MAX_WINDOWS, Speller, TextEncoder, moved
from limner.models._tiles import TILE, tiled
from limner.models._unet import COMPILER_CACHE, UNet
from limner.prompt import words

__all__ = ["MAX_WINDOWS", "Adapter", "TextEncoder", "TextToImage", "moved"]


@dataclass(frozen=True, eq=False)
class Adapter:
    """What a model has from its adapter, beside a changed U-Net (see `limner/models/adapter.py`).

    card:   what its adapter.json says
    extra:  its tensors that are not the U-Net's, by name, float32 on the CPU
    """

    kind: str  # what it was trained for: inpainting, regions, …
    card: dict[str, Any]
    extra: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class TextToImage:
    """What `open_model` gives. Nothing changes it: `to` and `compiled` give another.

    A U-Net trained for inpainting sees, below the latents' channels, the mask (1 where it is to
    paint) and the latents of the picture whose masked part is grey: `beside` is channels + 1 then.
    One with an adapter sees what that is for.
    """

    name: str
    unet: nn.Module  # unet(x, timesteps, encoder_hidden_states=states).sample
    vae: Autoencoder | LibraryCodec | Halves
    text_encoder: TextEncoder
    prediction: str  # epsilon, v_prediction, sample or flow
    alpha_bars: Tensor | None  # (T,) float64; None for flow
    scaling_factor: float
    shift_factor: float
    channels: int  # of the latents
    size: int  # pixels of a side that it was trained on
    downscale: int  # pixels to a latent's side
    licence: str
    files: tuple[Path, ...]  # whatever the pictures depend on
    vocabulary: frozenset[str] | None = None  # the words of its training; None: not known
    steps: int = 20
    guidance_scale: float = 7.5
    sampler: str = "dpmpp_2m"
    takes_scale: bool = False  # its U-Net is told the guidance scale, and asked once: `guidance=`
    origin: int | None = None  # number of steps that it was distilled from, whose levels it knows
    beside: int = 0  # channels that its U-Net sees below the latents', see above
    adapter: Adapter | None = None
    previewer: Halves | None = None  # what shows pictures on the way: a TAESD; the vae if None
    changed: tuple[Path, ...] = ()  # of its files, those that changed its U-Net's weights: LoRAs
    shift: Shift = field(default_factory=Shift)  # of a flow model's times, evenly chosen
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    low_memory: bool = False  # decodes in tiles; its networks may share the memory
    rounded: bool = False  # its large weights are kept in eight bits

    @property
    def conditioned(self) -> str | None:
        """What its U-Net has to be told beside words: inpainting, its adapter's kind, or None."""
        if self.adapter is not None and (self.beside or self.adapter.card.get("tokens")):
            return self.adapter.kind
        return "inpainting" if self.beside else None

    @property
    def precision(self) -> str:
        """What a recipe says of it: int8, or its type's name."""
        return "int8" if self.rounded else str(self.dtype).removeprefix("torch.")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the model's files: what a recipe remembers it by."""
        return fingerprint(self.files)

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> TextToImage:
        """The model on a device in a floating type, not compiled; itself where it is so already.

        The last one asked for is kept, since who paints again asks again.
        """
        device = torch.device(device)
        if (device, dtype) == (self.device, self.dtype):
            return self
        if self.low_memory or self.rounded:
            raise BadInput(f"{self.name!r} was opened to stay where it is: open it as it is to be")
        last: TextToImage | None = vars(self).get("_moved")
        if last is not None and (device, dtype) == (last.device, last.dtype):
            return last
        unet, text = moved(self.unet, device, dtype), self.text_encoder.to(device, dtype)
        vae = moved(self.vae, device, dtype)
        other = replace(self, unet=unet, vae=vae, text_encoder=text, device=device, dtype=dtype)
        if self.previewer is not None:
            other = replace(other, previewer=moved(self.previewer, device, dtype))
        vars(other)["fingerprint"] = self.fingerprint
        vars(self)["_moved"] = other
        return other

    def compiled(self) -> TextToImage:
        """The model with its U-Net compiled, always the same one: slow at first, then faster.

        What is compiled is kept in the user's cache, for the next run.
        """
        return self._compiled

    @cached_property
    def _compiled(self) -> TextToImage:
        os.environ.setdefault(COMPILER_CACHE, str(cache_folder() / "compiled"))
        if isinstance(self.unet, UNet):
            return replace(self, unet=self.unet.compiled())
        unet = copy.copy(self.unet)
        unet.compile()
        return replace(self, unet=unet)

    @property
    def tokenizer(self) -> Speller:
        """What finds a prompt's words in the attention maps."""
        return self.text_encoder.tokenizer

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → what the network is asked under, (b, n, d): see `TextEncoder`."""
        return self.text_encoder.encode(prompts)

    @torch.no_grad()
    def embed_phrases(self, phrases: Sequence[str]) -> Tensor:
        """Short texts → one vector each, (b, d): of a long one its first window alone."""
        return self.text_encoder.pooled(phrases)

    def cut_words(self, prompt: str) -> list[str]:
        """The words that `encode_text` leaves out of a prompt that is too long."""
        return self.text_encoder.cut_words(prompt)

    def unseen_words(self, prompt: str) -> list[str]:
        """The words that were in no caption of its training, in order; [] where that is unknown."""
        if self.vocabulary is None:
            return []
        return [word for word in dict.fromkeys(words(prompt)) if word not in self.vocabulary]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, h, w) → pictures (b, 3, h·f, w·f) in [0, 1], float32."""
        plain = (latents / self.scaling_factor + self.shift_factor).to(self.device, self.dtype)
        if plain.is_cpu and plain[0, 0].numel() >= TILE**2:
            hand_back()
        pictures = tiled(self.vae.decode, plain) if self.low_memory else self.vae.decode(plain)
        return pictures.float().div(2).add(0.5).clamp(0, 1)

    @torch.no_grad()
    def preview(self, latents: Tensor) -> Tensor:
        """What `decode` would give, or nearly so and sooner where there is a previewer."""
        if self.previewer is None:
            return self.decode(latents)
        plain, decode = latents.to(self.device, self.dtype), self.previewer.decode
        pictures = tiled(decode, plain) if self.low_memory else decode(plain)
        return pictures.float().div(2).add(0.5).clamp(0, 1)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → the latents' mean (b, c, h/f, w/f), float32, scaled."""
        return self.traced(pictures)

    def traced(self, pictures: Tensor) -> Tensor:
        """As `encode`, with gradients."""
        mean = self.vae.encode(pictures.to(self.device, self.dtype) * 2 - 1).float()
        return (mean - self.shift_factor) * self.scaling_factor
