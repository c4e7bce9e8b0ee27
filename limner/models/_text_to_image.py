"""A text-to-image model of Stable Diffusion's layout, opened: its parts and what joins them."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from limner.models._autoencoder import Autoencoder, LibraryCodec
from limner.models._folder import cache_folder, fingerprint
from limner.models._tokenizer import Tokenizer
from limner.models._transformer import TextTower
from limner.models._unet import COMPILER_CACHE, UNet
from limner.prompt import words

__all__ = ["Adapter", "TextToImage", "moved"]

Network = TypeVar("Network", bound=nn.Module)

# States of a longer prompt are windows side by side; more than these and the rest is cut (and
# `cut_words` names it): every one makes each step slower, and no model was trained on any but one.
MAX_WINDOWS = 8


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
    vae: Autoencoder | LibraryCodec
    text_encoder: TextTower
    tokenizer: Tokenizer
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
    beside: int = 0  # channels that its U-Net sees below the latents', see above
    adapter: Adapter | None = None
    changed: tuple[Path, ...] = ()  # of its files, those that changed its U-Net's weights: LoRAs
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def conditioned(self) -> str | None:
        """What its U-Net has to be told beside words: inpainting, its adapter's kind, or None."""
        if self.adapter is not None and (self.beside or self.adapter.card.get("tokens")):
            return self.adapter.kind
        return "inpainting" if self.beside else None

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
        last: TextToImage | None = vars(self).get("_moved")
        if last is not None and (device, dtype) == (last.device, last.dtype):
            return last
        unet, text = moved(self.unet, device, dtype), moved(self.text_encoder, device, dtype)
        vae = moved(self.vae, device, dtype)
        other = replace(self, unet=unet, vae=vae, text_encoder=text, device=device, dtype=dtype)
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

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → states (b, n, d).

        A prompt too long for the tokenizer's window goes on in further windows, each with its own
        start and end; the shorter ones of a batch are given empty windows, so that n is one.
        """
        cut = [self.tokenizer.windows(prompt)[:MAX_WINDOWS] for prompt in prompts]
        count = max(len(windows) for windows in cut)
        ids = [
            self.tokenizer.filled(window)
            for windows in cut
            for window in [*windows, *[[]] * (count - len(windows))]
        ]
        states = self.text_encoder(torch.tensor(ids, device=self.device))
        return states.unflatten(0, (len(prompts), count)).flatten(1, 2)

    @torch.no_grad()
    def embed_phrases(self, phrases: Sequence[str]) -> Tensor:
        """Short texts → the text encoder's last state at their ends, (b, d): of a long one its
        first window alone."""
        return self.text_encoder.pooled(self.tokenizer.batch(phrases).to(self.device))

    def cut_words(self, prompt: str) -> list[str]:
        """The words that `encode_text` leaves out, where a prompt is longer than 8 windows."""
        left = self.tokenizer.windows(prompt)[MAX_WINDOWS:]
        return self.tokenizer.text([i for window in left for i in window]).split()

    def unseen_words(self, prompt: str) -> list[str]:
        """The words that were in no caption of its training, in order; [] where that is unknown."""
        if self.vocabulary is None:
            return []
        return [word for word in dict.fromkeys(words(prompt)) if word not in self.vocabulary]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, h, w) → pictures (b, 3, h·f, w·f) in [0, 1], float32."""
        plain = latents / self.scaling_factor + self.shift_factor
        pictures = self.vae.decode(plain.to(self.device, self.dtype))
        return pictures.float().div(2).add(0.5).clamp(0, 1)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) in [0, 1] → the latents' mean (b, c, h/f, w/f), float32, scaled."""
        mean = self.vae.encode(pictures.to(self.device, self.dtype) * 2 - 1).float()
        return (mean - self.shift_factor) * self.scaling_factor


def moved(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """A copy elsewhere; the original keeps its weights, whose precision would else be lost."""
    weights = {id(p): nn.Parameter(p.to(device, dtype), False) for p in network.parameters()}
    return copy.deepcopy(network, weights).to(device)
