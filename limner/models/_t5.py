"""T5's encoder (Raffel et al. 2020), which reads prompts for flow transformers: transformers' own.

The padding is read like words, without a mask: these models were trained so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.models import _folder
from limner.models._text_encoder import moved
from limner.models._unigram import Unigram, open_unigram

__all__ = ["T5", "open_t5"]


@dataclass(frozen=True, eq=False)
class T5:
    """Prompts → states (b, length, d)."""

    stack: nn.Module
    words: Unigram

    @property
    def width(self) -> int:
        """d."""
        return self._table.shape[1]

    @property
    def _table(self) -> Tensor:
        return self.stack.get_parameter("embed_tokens.weight")

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        ids = self.words.batch(prompts).to(self._table.device)
        states: Tensor = self.stack(input_ids=ids).last_hidden_state
        return states

    def cut_words(self, prompt: str) -> list[str]:
        """The words that there is no room for."""
        return self.words.text(self.words.ids(prompt)[self.words.room :]).split()

    def to(self, device: torch.device, dtype: torch.dtype) -> T5:
        return replace(self, stack=moved(self.stack, device, dtype))


def open_t5(folder: Path, tokenizer: Path, length: int) -> T5:
    """For prompts of `length` tokens. Raises BadInput for what does not fit."""
    config = _folder.read_json(folder / "config.json")
    state = {
        "embed_tokens.weight" if name == "shared.weight" else name.removeprefix("encoder."): weight
        for name, weight in _folder.weights(folder).items()
        if not name.startswith(("decoder.", "lm_head"))
    }
    return T5(_folder.assembled(_stack, config, state, folder), open_unigram(tokenizer, length))


def _stack(config: dict[str, Any]) -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    # The model's embedding and its stack's are one: the stack alone keeps it once.
    stack = T5EncoderModel(T5Config.from_dict(config)).encoder
    assert isinstance(stack, nn.Module)
    return stack
