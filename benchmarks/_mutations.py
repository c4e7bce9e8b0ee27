"""Ways to spoil a model's file, each told by a random number generator: the same number, the same
file. What comes out is never told to be valid or not: the reader has to find out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["mutated"]

_NUMBERS = [
    b"0", b"-1", b"1", b"2", b"3", b"7", b"64", b"127", b"1000000", b"2147483647", b"4294967296",
    b"9223372036854775807", b"18446744073709551615", b"-9223372036854775808", b"1e308", b"1e999",
    b"0.5", b"-0.0", b"1e-320", b"NaN", b"Infinity", b"null", b"true", b'"8"', b"[]", b"{}",
    b"9" * 5000,
]  # fmt: skip
_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 3, 10**6, 10**30, 0.5, -1e300, "", "x", "\0", "../../etc/passwd",
    "\ud800", "a" * 100_000, [], {}, [[]], [None] * 3, [1, "a"], {"": {}}, {"a": [1, {"b": None}]},
    list(range(1000)), [0] * 100_000, [[0, 1]] * 1000, "silu", "gelu_fast", "UNet2DConditionModel",
    ["builtins", "eval"], ["diffusers", "UNet2DConditionModel"], "os.system",
]  # fmt: skip


def mutated(name: str, content: bytes, random: Random) -> bytes:
    """The file's content, spoilt in one to three ways."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = Path(name).suffix
        ways = {".safetensors": _WEIGHTS, ".json": _TEXTS}.get(kind, _PLAIN)
        try:
            content = random.choice(ways)(content, random)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            content = _flipped(content, random)  # what was spoilt before is no longer understood
    return content


def _flipped(content: bytes, random: Random, end: int | None = None) -> bytes:
    out = bytearray(content)
    for _ in range(random.randint(1, 8) if out else 0):
        out[random.randrange(min(end or len(out), len(out)))] ^= 1 << random.randrange(8)
    return bytes(out)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _longer(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content) + 1)
    more = random.randbytes(random.choice((1, 8, 4096)))
    return content[:at] + more + content[at:]


def _moved(content: bytes, random: Random) -> bytes:
    """A part of the file over another."""
    size = random.randint(1, 64)
    a, b = (random.randrange(max(1, len(content) - size)) for _ in range(2))
    return content[:a] + content[b : b + size] + content[a + size :]


def _swapped(content: bytes, random: Random, start: int = 0) -> bytes:
    """A number for another."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", content[start : start + 200_000]))
    if not found:
        return content
    at = random.choice(found)
    return content[: start + at.start()] + random.choice(_NUMBERS) + content[start + at.end() :]


# JSON


def _said(content: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said else None


def _places(said: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    out, left = [], [said]
    while left and len(out) < 5000:
        each = left.pop()
        keys = list(each) if isinstance(each, dict) else range(min(len(each), 50))
        for key in keys:
            out.append((each, key))
            if isinstance(each[key], dict | list) and len(each[key]):
                left.append(each[key])
    return out


def _valued(content: bytes, random: Random) -> bytes:
    """A value for another."""
    said = _said(content)
    if said is None:
        return _flipped(content, random)
    box, key = random.choice(_places(said))
    box[key] = random.choice(_VALUES)
    return json.dumps(said).encode()


def _lacking(content: bytes, random: Random) -> bytes:
    """Without a key, or with it under another's name."""
    said = _said(content)
    if said is None:
        return _cut(content, random)
    box, key = random.choice(_places(said))
    value = box.pop(key)
    if isinstance(box, dict) and random.random() < 0.3:
        box[random.choice([*box, "auto_map", "trust_remote_code", "_class_name", "x"])] = value
    return json.dumps(said).encode()


def _deep(content: bytes, random: Random) -> bytes:
    """A nest, or a crowd, in a value's place."""
    said = _said(content)
    if said is None:
        return b"[" * random.choice((100, 100_000))
    depth = random.choice((70, 900, 100_000, 400_000))
    crowd = b"[" + random.choice((b"{},", b"[],", b"0,", b'{"a":0},')) * depth + b"0]"
    nest = random.choice((b"[" * depth + b"]" * depth, b'{"a":' * depth + b"0" + b"}" * depth))
    box, key = random.choice(_places(said))
    box[key] = "HERE"
    return json.dumps(said).encode().replace(b'"HERE"', random.choice((crowd, nest)))


def _twice(content: bytes, random: Random) -> bytes:
    """A key again, with another value."""
    said = _said(content)
    if said is None:
        return content + content
    key = json.dumps(random.choice(list(said))).encode()
    value = json.dumps(random.choice(_VALUES)).encode()
    again = key + b": " + value
    ends = content.rindex(b"}")
    first = b"{" + again + b", " + content[content.index(b"{") + 1 :]
    return random.choice((first, content[:ends] + b", " + again + content[ends:]))


# safetensors


def _parts(content: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(content[:8], "little")
    return content[8 : 8 + length], content[8 + length :]


def _joined(header: bytes, numbers: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + numbers


def _in_header(content: bytes, random: Random) -> bytes:
    """What is done to JSON, to the header."""
    header, numbers = _parts(content)
    return _joined(random.choice(_TEXTS)(header, random), numbers) if header else content


def _header_flipped(content: bytes, random: Random) -> bytes:
    return _flipped(content, random, 8 + len(_parts(content)[0]))


def _length_lied(content: bytes, random: Random) -> bytes:
    length = random.choice(
        (0, 1, 7, 2**31, 2**40, 2**63, 2**64 - 1, len(content), len(content) - 8)
    )
    return length.to_bytes(8, "little") + content[8:]


def _tensor_lied(content: bytes, random: Random) -> bytes:
    """One tensor's type, shape, place or name is another, or another's."""
    header, numbers = _parts(content)
    said = _said(header) or {}
    names = [name for name, told in said.items() if isinstance(told, dict) and "dtype" in told]
    if not names:
        return _flipped(content, random)
    name, other = random.choice(names), random.choice(names)
    told, shape = said[name], list(said[name].get("shape") or [1])
    lies: list[Any] = [
        (
            "dtype",
            random.choice(("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64")),
        ),
        ("shape", random.choice(([2**62, 4], [-1], [], [0], shape[::-1], shape + [1], [1] * 5000))),
        ("shape", [*shape[:-1], shape[-1] * 2**20]),
        ("data_offsets", random.choice(([0, 2**62], [8, 4], [0, 0], [0, len(numbers)]))),
        ("data_offsets", said[other]["data_offsets"]),
    ]
    if random.random() < 0.3:
        said[other], said[name] = said[name], said[other]
    elif random.random() < 0.3:
        said[random.choice(("x", "", "\0", "../x", "é" * 300))] = said.pop(name)
    else:
        key, value = random.choice(lies)
        told[key] = value
    return _joined(json.dumps(said).encode(), numbers)


def _crowded(content: bytes, random: Random) -> bytes:
    """A hundred thousand empty tensors more, or a page of notes."""
    header, numbers = _parts(content)
    if random.random() < 0.5:
        empty = b', "%d": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}'
        more = b"".join(empty % i for i in range(random.choice((10, 1000, 100_000))))
    else:
        more = b', "__metadata__": {"a": "' + b"[{" * random.choice((10, 500_000)) + b'"}'
    ends = header.rfind(b"}")
    return _joined(header[:ends] + more + header[ends:], numbers)


def _no_numbers(content: bytes, random: Random) -> bytes:
    """NaN and infinity among the weights."""
    header, numbers = _parts(content)
    out = bytearray(numbers)
    for _ in range(random.choice((1, 1000))):
        at = 4 * random.randrange(max(1, len(out) // 4))
        out[at : at + 4] = random.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\xff\xff"))
    return _joined(header, bytes(out[: len(numbers)]))


_PLAIN = (_flipped, _cut, _longer, _moved, _swapped)
_TEXTS = (_flipped, _cut, _longer, _moved, _swapped, _swapped, _valued, _valued, _valued, _lacking,
          _deep, _twice)  # fmt: skip
_WEIGHTS = (_flipped, _cut, _longer, _moved, _in_header, _in_header, _header_flipped, _length_lied,
            _tensor_lied, _tensor_lied, _tensor_lied, _crowded, _no_numbers)  # fmt: skip
