"""Prompts → the one tensor that a network is asked under, whatever a family encodes them with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from limner.models._tokenizer import MAX_WINDOWS, Tokenizer
from limner.models._transformer import TextTower

__all__ = [
    "MAX_WINDOWS",
    "OneTower",
    "Speller",
    "TextEncoder",
    "cut_words",
    "moved",
    "packed",
    "windows_of",
]

Network = TypeVar("Network", bound=nn.Module)


class Speller(Protocol):
    """Text → its tokens' places among the states."""

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Of each token that is among the states: from and to in the text, and its place there,
        not counting what is packed before."""
        ...


class TextEncoder(Protocol):
    """What a text-to-image model reads its prompts with.

    What a network needs beside the words' states (XL's and SD 3's pooled embedding) is the first
    row of the condition, filled up with zeros to the states' width; the network takes it off again.
    """

    @property
    def tokenizer(self) -> Speller:
        """What finds a prompt's words in the attention maps."""
        ...

    @property
    def offset(self) -> int:
        """Rows of the condition before the words' own: 1 where something is packed, else 0."""
        ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → condition (b, offset + n, d), one n for all."""
        ...

    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """Short texts → one vector each, (b, d): of a long one its first window alone."""
        ...

    def cut_words(self, prompt: str) -> list[str]:
        """The words that `encode` leaves out of a long prompt."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> TextEncoder:
        """A copy elsewhere; the original keeps its weights."""
        ...


@dataclass(frozen=True, eq=False)
class OneTower:
    """Stable Diffusion 1.x and 2.x: the last states of one CLIP, nothing packed."""

    tower: TextTower
    tokenizer: Tokenizer
    offset: int = 0

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → states (b, n, d).

        A prompt too long for the tokenizer's window goes on in further windows, each with its own
        start and end; the shorter ones of a batch are given empty windows, so that n is one.
        """
        ids = windows_of(self.tokenizer, prompts)
        states = self.tower(ids.flatten(0, 1).to(self._device))
        return states.unflatten(0, ids.shape[:2]).flatten(1, 2)

    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """The last state at their ends."""
        return self.tower.pooled(self.tokenizer.batch(phrases).to(self._device))

    def cut_words(self, prompt: str) -> list[str]:
        return cut_words(self.tokenizer, prompt)

    def to(self, device: torch.device, dtype: torch.dtype) -> OneTower:
        return OneTower(moved(self.tower, device, dtype), self.tokenizer)

    @property
    def _device(self) -> torch.device:
        return self.tower.final_layer_norm.weight.device


def windows_of(tokenizer: Tokenizer, prompts: Sequence[str], count: int = 1) -> Tensor:
    """Prompts → ids (b, windows, length), as many windows as the longest needs, at least `count`,
    at most `MAX_WINDOWS`; the shorter ones' further windows are empty."""
    cut = [tokenizer.windows(prompt)[:MAX_WINDOWS] for prompt in prompts]
    count = max(count, *map(len, cut))
    filled = [[*windows, *[[]] * (count - len(windows))] for windows in cut]
    return torch.tensor([[tokenizer.filled(window) for window in each] for each in filled])


def packed(pooled: Tensor, states: Tensor) -> Tensor:
    """Pooled texts (b, p) above their states (b, n, d), p ≤ d, in one tensor (b, 1 + n, d)."""
    first = functional.pad(pooled, (0, states.shape[2] - pooled.shape[1]))
    return torch.cat([first[:, None], states], 1)


def cut_words(tokenizer: Tokenizer, prompt: str) -> list[str]:
    """The words of a prompt beyond its last window."""
    left = tokenizer.windows(prompt)[MAX_WINDOWS:]
    return tokenizer.text([i for window in left for i in window]).split()


def moved(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """A copy elsewhere; the original keeps its weights, whose precision would else be lost."""
    weights = {id(p): nn.Parameter(p.to(device, dtype), False) for p in network.parameters()}
    return copy.deepcopy(network, weights).to(device)
