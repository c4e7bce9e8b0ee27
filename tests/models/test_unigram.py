"""T5's tokenizer: the same ids as transformers', from either of its files."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from limner.errors import BadInput
from limner.models._unigram import open_unigram

sys.path.insert(0, str(Path(__file__).parent))
import _flow_pipelines

TEXTS = [
    "", "a red cube", "  two\tspaces and\nlines ", "zébra 12, on the cat's!", "an <unk> word </s>",
    "日本 horse", "a" * 900, "the cat " * 400,
]  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> Any:
    return _flow_pipelines.t5_words()


def field(number: int, value: bytes) -> bytes:
    """A field of protobuf: its number, its length, itself."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def pieces(theirs: Any) -> bytes:
    """spiece.model, as sentencepiece_model.proto describes it."""
    out = b""
    for i, (piece, score) in enumerate(theirs._vocab_scores):
        kind = {0: 3, 1: 3, 2: 2}.get(i, 1)  # control, unknown, normal
        out += field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", score)
                     + b"\x18" + varint(kind))  # fmt: skip
    trainer = b"\x18" + varint(1) + field(1, b"data.txt") + b"\xc0\x02" + varint(2)
    return out + field(2, trainer) + field(3, field(1, b"identity") + b"\x18\x01")


@pytest.mark.parametrize("file", ["tokenizer.json", "spiece.model"])
def test_ids_are_transformers(theirs: Any, tmp_path: Path, file: str) -> None:
    if file == "tokenizer.json":
        theirs.save_pretrained(tmp_path)
    else:
        (tmp_path / file).write_bytes(pieces(theirs))
    mine = open_unigram(tmp_path, 64)
    said = theirs(TEXTS, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
    assert mine.batch(TEXTS).tolist() == said.input_ids.tolist()
    assert mine.text(mine.ids("a red cube")) == "a red cube"
    (a, b, place), *_ = mine.spans("a red")[1:]
    assert a <= 2 and (b, place) == (5, 1)
    assert len(mine.spans("the cat " * 400)) == 63


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 500])
def test_what_is_cut_short_is_refused(theirs: Any, tmp_path: Path, keep: int) -> None:
    whole = pieces(theirs)
    assert keep < len(whole)
    (tmp_path / "spiece.model").write_bytes(whole[:keep])
    with pytest.raises(BadInput, match=r"is broken|lacks"):
        open_unigram(tmp_path, 64)


def test_noise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(BadInput, match="is broken"):
        open_unigram(tmp_path, 64)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Unigram"}}')
    with pytest.raises(BadInput, match="is broken"):
        open_unigram(tmp_path, 64)
