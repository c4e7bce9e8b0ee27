"""SigLIP's tokenizers through the library `tokenizers` alone: SentencePiece's unigrams of the first
generation, Gemma's vocabulary of the second.

What a text goes through before is theirs, too: both were trained on small letters, the first
without punctuation (big_vision's `canonicalize_text`).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import BadInput
from limner.models import _folder
from limner.models._unigram import backend_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

__all__ = ["SiglipWords", "open_siglip_words"]

_FIRST, _SECOND = ("</s>", "</s>"), ("<eos>", "<pad>")  # what ends a text, what fills it up
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class SiglipWords:
    """Text → ids. A window is `length` tokens: a text's own, one end token and padding."""

    backend: Backend
    end: int
    pad: int
    length: int
    punctuation: bool  # whether it stays
    padded_left: bool = False

    @property
    def room(self) -> int:
        """How many of a text's own tokens one window holds."""
        return self.length - 1

    def ids(self, text: str) -> list[int]:
        """The text's own tokens, without the end."""
        text = text.lower()
        if not self.punctuation:
            text = " ".join(text.translate(_NO_PUNCTUATION).split())
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def windows(self, text: str) -> list[list[int]]:
        """The text's tokens, cut into windows that are not filled up; one at least."""
        ids = self.ids(text)
        return [ids[i : i + self.room] for i in range(0, max(len(ids), 1), self.room)]

    def filled(self, window: Sequence[int]) -> list[int]:
        """A window with its end and padding: `length` ids."""
        ids = [*window, self.end]
        filling = [self.pad] * (self.length - len(ids))
        return filling + ids if self.padded_left else ids + filling


def open_siglip_words(folder: Path, length: int) -> SiglipWords:
    """From tokenizer.json or spiece.model. Raises BadInput where they are missing or broken."""
    backend = backend_of(folder)
    options = _folder.read_json(folder / "tokenizer_config.json", missing={})
    for end, pad in (_SECOND, _FIRST):
        ids = backend.token_to_id(end), backend.token_to_id(pad)
        if ids[0] is not None and ids[1] is not None:
            left = options.get("padding_side") == "left"
            return SiglipWords(backend, ids[0], ids[1], length, end == _SECOND[0], left)
    raise BadInput(
        f"the tokenizer in {str(folder)!r} lacks {_FIRST[0]} or {_SECOND[0]}: no SigLIP's"
    )
