"""T5's tokenizer, SentencePiece's unigram model, through the library `tokenizers` alone.

Transformers' own class does the same (a test holds the two together), but needs protobuf to read a
folder that has only the first file of these: tokenizer.json, spiece.model.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from limner.errors import BadInput
from limner.models._bounds import check_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

__all__ = ["Unigram", "backend_of", "open_unigram"]

_SPACE = "▁"  # what a word begins with, in the pieces
_PAD, _END, _UNKNOWN = "<pad>", "</s>", "<unk>"
_LARGEST = 8_000_000  # bytes of spiece.model; T5's has 800,000


@dataclass(frozen=True)
class Unigram:
    """Text → ids. A text is `length` tokens: its own, an end token and padding."""

    backend: Backend
    end: int
    pad: int
    length: int

    @property
    def room(self) -> int:
        """How many of a text's own tokens there is room for."""
        return self.length - 1

    def ids(self, text: str) -> list[int]:
        """The text's own tokens, all of them, without the end."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Of each token that there is room for: from and to in the text, and its place."""
        found = self.backend.encode(text, add_special_tokens=False).offsets
        return [(a, b, i) for i, (a, b) in enumerate(found[: self.room])]

    def batch(self, texts: Sequence[str]) -> Tensor:
        """(b, length), cut where there is no more room."""
        rows = [[*self.ids(text)[: self.room], self.end] for text in texts]
        return torch.tensor([row + [self.pad] * (self.length - len(row)) for row in rows])

    def text(self, ids: Sequence[int]) -> str:
        """Ids back to words."""
        words: str = self.backend.decode(list(ids))
        return words.strip()


def open_unigram(folder: Path, length: int) -> Unigram:
    """From tokenizer.json or spiece.model, for texts of `length` tokens.

    Raises BadInput where both are missing, or what there is is broken.
    """
    backend = backend_of(folder)
    end, pad = (backend.token_to_id(token) for token in (_END, _PAD))
    if end is None or pad is None:
        raise BadInput(f"the tokenizer in {str(folder)!r} lacks {_END} or {_PAD}: expected T5's")
    return Unigram(backend, end, pad, length)


def backend_of(folder: Path) -> Backend:
    """The library's part of it, which neither cuts texts nor fills them up. Raises BadInput."""
    try:
        backend = _backend(folder)
        backend.no_truncation()
        backend.no_padding()
    except BadInput:
        raise
    except BaseException as error:  # plain Exceptions, and panics, which are not even those
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise BadInput(f"the tokenizer in {str(folder)!r} is broken ({line})") from None
    return backend


def _backend(folder: Path) -> Backend:
    from tokenizers import Tokenizer as Backend

    said, pieces = folder / "tokenizer.json", folder / "spiece.model"
    if said.is_file():
        check_json(said)
        return Backend.from_file(str(said))
    if pieces.is_file():
        if pieces.stat().st_size > _LARGEST:
            raise BadInput(f"{str(pieces)!r} is too large to be a tokenizer")
        return _from_pieces(pieces.read_bytes())
    raise BadInput(f"no tokenizer in {str(folder)!r}: needs tokenizer.json or spiece.model")


def _from_pieces(data: bytes) -> Backend:
    """SentencePiece's own file (sentencepiece_model.proto), read as transformers' T5Tokenizer."""
    from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    vocabulary: list[tuple[str, float]] = []
    folded = b""  # how letters are brought to one form
    for number, value in _fields(data):
        if number == 1:
            vocabulary.append(_piece(value))
        elif number == 3:
            folded = dict(_fields(value)).get(2, b"")
    known = {piece: i for i, (piece, _) in enumerate(vocabulary)}
    backend = Backend(models.Unigram(vocabulary, known[_UNKNOWN], False))
    if folded:
        backend.normalizer = normalizers.Precompiled(folded)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(_SPACE, "always", True)]
    )
    backend.decoder = decoders.Metaspace(_SPACE, "always", True)
    special = [AddedToken(each, special=True) for each in (_PAD, _END, _UNKNOWN) if each in known]
    backend.add_special_tokens(special)
    return backend


def _piece(data: bytes) -> tuple[str, float]:
    fields = dict(_fields(data))
    (score,) = struct.unpack("<f", fields.get(2, bytes(4)))
    return fields[1].decode(), score


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """A protobuf message's fields, their numbers and raw bytes; whole numbers are passed over."""
    at = 0
    while at < len(data):
        key, at = _whole(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _whole(data, at)
            continue
        if kind == 2:
            size, at = _whole(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + size > len(data):
            raise ValueError("cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _whole(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for i, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            return value, at + i + 1
    raise ValueError("cut short")
