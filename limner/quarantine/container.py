"""torch.save's files: a zip archive of a pickle and its storages, or the `legacy` row of pickles;
and NVIDIA's `networks`.

The file is mapped into memory, nothing is unpacked: what is read of an archive must be stored as it
is (torch compresses only TorchScript's code). Entries lie apart from each other, within the file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

from limner.quarantine.legacy import MAGIC, legacy
from limner.quarantine.machine import Machine
from limner.quarantine.networks import networks
from limner.quarantine.values import LARGEST_PICKLE, Opened, Refused, inert

__all__ = ["opened"]

_MOST_ENTRIES = 100_000
_END, _END_64, _WHERE_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class _Entry:
    at: int
    size: int
    checksum: int
    as_is: bool  # neither compressed nor encrypted


def opened(data: memoryview) -> Opened:
    """A container's value and storages. Raises Refused where it is broken or of another kind."""
    start = bytes(data[:16])
    if start[:4] == b"PK\x03\x04":
        return _archive(data)
    if start[:1] == b"\x80" and len(start) > 2 and start[1] <= 5:
        return legacy(data) if MAGIC in bytes(data[:32]) else networks(data)
    raise Refused("it is no file of torch.save: neither a zip archive nor a pickle")


def _archive(data: memoryview) -> Opened:
    entries = _entries(data)
    roots = [name[: -len("data.pkl")] for name in entries if name.endswith("/data.pkl")]
    roots = [root for root in roots if root.count("/") == 1]
    if len(roots) != 1:
        raise Refused("the archive has no data.pkl: it is no file of torch.save")
    root = roots[0]
    order = entries.get(f"{root}byteorder")
    if order is not None and _content(data, order, "byteorder") != b"little":
        raise Refused("its numbers are big-endian")
    script = f"{root}constants.pkl" in entries
    pickled = entries[f"{root}data.pkl"]
    if pickled.size > LARGEST_PICKLE:
        raise Refused(f"its pickle has {pickled.size} bytes: tensors' descriptions are shorter")
    value = Machine(_content(data, pickled, "data.pkl"), named=partial(inert, script=script)).run()

    @cache  # a checksum is computed once, however many tensors share its storage
    def storage(key: str) -> memoryview:
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise Refused("a tensor's numbers are missing in the archive")
        return _content(data, entry, f"data/{key}"[:60])

    return Opened(value, storage)


def _content(data: memoryview, entry: _Entry, name: str) -> memoryview:
    """An entry's bytes, of the right checksum."""
    if not entry.as_is:
        raise Refused("the archive is compressed or encrypted: torch.save writes neither")
    part = data[entry.at : entry.at + entry.size]
    if zlib.crc32(part) != entry.checksum:
        raise Refused(f"{name!r} in the archive has a wrong checksum: fetch the file again")
    return part


def _entries(data: memoryview) -> dict[str, _Entry]:
    """The archive's entries by name, from its central directory (APPNOTE.TXT, section 4.3.12)."""
    count, size, start = _directory(data)
    if count > _MOST_ENTRIES or start + size > len(data):
        raise Refused("the archive's directory is broken or too long")
    found: dict[str, _Entry] = {}
    spans: list[tuple[int, int]] = []
    at = start
    try:
        for _ in range(count):
            name, entry, begins, at = _entry(data, at)
            if name in found or entry.at + entry.size > start:
                raise Refused("the archive has entries twice, or beyond its end")
            found[name] = entry
            spans.append((begins, entry.at + entry.size))
    except (struct.error, UnicodeDecodeError):
        raise Refused("the archive's directory is broken") from None
    spans.sort()
    if any(end > begins for (_, end), (begins, _) in pairwise(spans)):
        raise Refused("the archive's entries overlap, as in a zip bomb")
    return found


def _directory(data: memoryview) -> tuple[int, int, int]:
    """How many entries, and the directory's size and place."""
    tail = bytes(data[-65557:])
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise Refused("the archive is cut short: it has no directory at its end")
    count, size, start = struct.unpack_from("<HII", tail, at + 10)
    if at >= 20 and tail[at - 20 : at - 16] == _WHERE_64:
        where = struct.unpack_from("<Q", tail, at - 12)[0]
        if where + 56 > len(data) or bytes(data[where : where + 4]) != _END_64:
            raise Refused("the archive's directory is broken")
        count, size, start = struct.unpack_from("<QQQ", data, where + 32)
    return count, size, start


def _entry(data: memoryview, at: int) -> tuple[str, _Entry, int, int]:
    """The entry described at `at`: its name, itself, where its own header begins, and the next."""
    if bytes(data[at : at + 4]) != b"PK\x01\x02":
        raise Refused("the archive's directory is broken")
    flags, method = struct.unpack_from("<HH", data, at + 8)
    checksum, packed, size, named, more, comment = struct.unpack_from("<IIIHHH", data, at + 16)
    (begins,) = struct.unpack_from("<I", data, at + 42)
    name = bytes(data[at + 46 : at + 46 + named]).decode("utf-8")
    extra = bytes(data[at + 46 + named : at + 46 + named + more])
    size, packed, begins = _wide(extra, size, packed, begins)
    as_is = not flags & 1 and method == 0 and packed == size
    if bytes(data[begins : begins + 4]) != b"PK\x03\x04":
        raise Refused("the archive's directory is broken")
    named_here, more_here = struct.unpack_from("<HH", data, begins + 26)
    first = begins + 30 + named_here + more_here
    return name, _Entry(first, packed, checksum, as_is), begins, at + 46 + named + more + comment


def _wide(extra: bytes, size: int, packed: int, begins: int) -> tuple[int, int, int]:
    """The three numbers, from the 64-bit field where they are too large for 32 (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            full = 0xFFFFFFFF
            size, packed, begins = (
                next(wide, full) if each == full else each for each in (size, packed, begins)
            )
        at += 4 + length
    return size, packed, begins
