"""Which of a prompt's tokens are which of its words."""

from __future__ import annotations

import re
from typing import NamedTuple

from limner.models._text_to_image import MAX_WINDOWS
from limner.models._tokenizer import Tokenizer

__all__ = ["Word", "words_of"]

# Letters and numbers with what joins them: robot's, stained-glass, 7.
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Word(NamedTuple):
    """A word of a prompt, as it stands there, and the places of its tokens among the states."""

    text: str
    places: tuple[int, ...]


def words_of(tokenizer: Tokenizer, prompt: str) -> list[Word]:
    """The prompt's words in order, each as often as it occurs; those beyond the last window of
    states (see `TextToImage.encode_text`) are left out."""
    spans = tokenizer.backend.encode(prompt, add_special_tokens=False).offsets
    out = []
    for found in _WORD.finditer(prompt):
        tokens = [i for i, (a, b) in enumerate(spans) if a < found.end() and b > found.start()]
        places = tuple(_place(tokenizer, i) for i in tokens)
        if places and places[-1] < MAX_WINDOWS * tokenizer.length:
            out.append(Word(found.group(), places))
    return out


def _place(tokenizer: Tokenizer, token: int) -> int:
    """Of token number i among the states: each window begins with a start token of its own."""
    window, within = divmod(token, tokenizer.room)
    return window * tokenizer.length + 1 + within
