"""How much a model's descriptions may hold: asked before a library reads them, and by its rules.

A few megabytes of brackets become gigabytes of lists, so a file is measured as bytes: its size by
what kind of file it is, and how many values, how many lists and how deep a nest it can hold at the
most. Whatever an honest file has lies far below.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from limner.errors import BadInput, LimnerError

__all__ = ["check_header", "check_json", "json_bytes", "refusing"]

Given = ParamSpec("Given")
Opened = TypeVar("Opened")


class Bound(NamedTuple):
    """The most of a kind of file."""

    size: int  # bytes
    lists: int
    objects: int
    values: int


_CONFIG = Bound(1_000_000, 60_000, 60_000, 300_000)  # ImageNet's 21,000 classes are said in .9 MB
_INDEX = Bound(8_000_000, 1_000, 1_000, 200_000)
# A vocabulary of 256,000 (Gemma's, the largest that a text encoder here has) with its merges, which
# are lists of two, takes 34 MB and is two million values. Only the library `tokenizers` reads
# these, in at most 280 MB.
_WORDS = Bound(48_000_000, 600_000, 30_000, 2_200_000)
_WORD_FILES = ("tokenizer.json", "vocab.json")
_SPECIAL = Bound(8_000_000, 60_000, 60_000, 400_000)  # thousands of tokens, with properties
_SPECIAL_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_DEEPEST = 64  # lists within lists
_PART = 2**20  # bytes counted at once
# Of a safetensors file: each tensor is an object with two lists; the largest networks have 3,000.
_HEADER = Bound(16_000_000, 80_000, 40_000, 600_000)


def _bound(name: str) -> Bound:
    if name in _WORD_FILES:
        return _WORDS
    if name in _SPECIAL_FILES:
        return _SPECIAL
    return _INDEX if ".index" in name else _CONFIG


def json_bytes(path: Path) -> bytes:
    """What a JSON file holds, checked. Raises BadInput, or OSError where it cannot be read."""
    bound = _bound(path.name)
    with open(path, "rb") as file:  # a file may grow, and what is none may have no end
        said = file.read(bound.size + 1)
    what = f"{str(path)!r} is no model's description: it"
    if len(said) > bound.size:
        raise BadInput(f"{what} is larger than {bound.size // 1_000_000} MB")
    _check(said, bound, what)
    return said


def check_json(path: Path) -> None:
    """Raises BadInput for a JSON file that no library should be given; one that is not there is
    none."""
    try:
        json_bytes(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"cannot read {str(path)!r}: {error.strerror}") from None


def _check(said: bytes, bound: Bound, what: str) -> None:
    """Counted as if nothing stood between quotes, and looked at closer where that is too much."""
    opened = said.count(b"[") + said.count(b"{")
    if opened <= _DEEPEST and opened + said.count(b",") <= bound.values:
        return
    lists = objects = values = depth = 0
    for marks in _marks(said):
        brackets, braces = marks == ord("["), marks == ord("{")
        opens, closes = brackets | braces, (marks == ord("]")) | (marks == ord("}"))
        lists, objects = lists + int(brackets.sum()), objects + int(braces.sum())
        values += len(marks) - int(closes.sum())
        if lists > bound.lists or objects > bound.objects or values > bound.values:
            raise BadInput(
                f"{what} holds more than {bound.lists} lists, {bound.objects} objects or "
                f"{bound.values} values"
            )
        nested = depth + np.cumsum(opens.astype(np.int32) - closes)
        if len(nested) and nested.max() > _DEEPEST:
            raise BadInput(f"{what} is lists within lists, more than {_DEEPEST} deep")
        depth = int(nested[-1]) if len(nested) else depth


def _marks(said: bytes) -> Iterator[npt.NDArray[np.uint8]]:
    """The brackets and commas of JSON that stand in no string, a part after the other."""
    if b"\\" in said:
        said = said.replace(b"\\\\", b"").replace(b'\\"', b"")
    known = np.zeros(256, bool)
    known[list(b"[]{},")] = True
    within = 0
    for at in range(0, len(said), _PART):
        part = np.frombuffer(said[at : at + _PART], np.uint8)
        quotes = (np.cumsum(part == ord('"'), dtype=np.uint8) + within) & 1
        yield part[known[part] & (quotes == 0)]
        within = int(quotes[-1])


def check_header(file: Path) -> None:
    """Raises BadInput for a safetensors file whose header is longer than the file or than any
    network's, or lists more tensors. What it says is the library's to check."""
    try:
        with open(file, "rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(size - 8, _HEADER.size):
                raise BadInput(
                    f"{str(file)!r} is no whole safetensors file (its header would have {length} "
                    f"bytes): fetch it again"
                )
            said = opened.read(length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no file"
        raise BadInput(f"cannot read {str(file)!r}: {reason}") from None
    _check(said, _HEADER, f"{str(file)!r} is no network's safetensors file: its header")


def refusing(open_it: Callable[Given, Opened]) -> Callable[Given, Opened]:
    """An opener for which whatever its files make Python or a library raise is a BadInput.

    What is usual is refused where it is found, in words of its own. This is for the rest: a text
    where a config has a number, a list where it has an object. The cause stays chained.
    """

    @functools.wraps(open_it)
    def opened(*given: Given.args, **named: Given.kwargs) -> Opened:
        try:
            return open_it(*given, **named)
        except LimnerError:
            raise
        except MemoryError:
            raise
        except Exception as error:
            shown = str(given[0] if given else next(iter(named.values()), ""))[:200]
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0][:160]}"
            raise BadInput(
                f"the model {shown!r} cannot be opened ({reason}): one of its configs is not what "
                "its family's are; fetch it again"
            ) from error

    return opened
