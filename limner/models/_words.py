"""Which of a prompt's tokens are which of its words."""

from __future__ import annotations

import re
from typing import NamedTuple

from limner.models._text_encoder import Speller

__all__ = ["Word", "words_of"]

# Letters and numbers with what joins them: robot's, stained-glass, 7.
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Word(NamedTuple):
    """A word of a prompt, as it stands there, and the places of its tokens among the states."""

    text: str
    places: tuple[int, ...]


def words_of(tokenizer: Speller, prompt: str) -> list[Word]:
    """The prompt's words in order, each as often as it occurs; those that are among no states (see
    `TextToImage.encode_text`) are left out."""
    spans = tokenizer.spans(prompt)
    out = []
    for found in _WORD.finditer(prompt):
        places = tuple(at for a, b, at in spans if a < found.end() and b > found.start())
        if places:
            out.append(Word(found.group(), places))
    return out
