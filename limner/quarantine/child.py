"""The child: `child.py FILE [OUT]` in a few limits; says one JSON object on stdout.

OUT is written as safetensors: a tensor whose numbers lie in another order than its shape says (not
row by row) comes as a flat one, with its shape and strides in what is said; the parent orders it.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import resource
import stat
import sys
from collections.abc import Iterator
from typing import Any

from limner.quarantine.container import opened
from limner.quarantine.flat import plain_in, tensors_in
from limner.quarantine.values import BYTES, Opened, Refused, View

__all__ = ["main"]

_MEMORY = 192 * 2**20  # bytes, besides the file, which is mapped
_SECONDS, _BYTES_A_SECOND = 2, 50_000_000
_MOST_COPIES = 2  # of all that a file holds, that tensors sharing storages may come to
_MOST_TENSORS = 50_000
_CHUNK = 4 * 2**20


def main() -> None:
    """Reads the file that argv names."""
    sys.set_int_max_str_digits(1000)
    gc.disable()  # a bomb of many lists would be walked through again and again
    out = sys.argv[2] if len(sys.argv) > 2 else None
    try:
        said = _read(sys.argv[1], out)
    except Refused as error:
        said = {"refused": str(error)}
    except MemoryError:
        said = {"refused": "reading it takes more memory than any honest file's"}
    except RecursionError:
        said = {"refused": "its values are nested without an end"}
    except OSError as error:
        said = {"refused": error.strerror or "it cannot be read"}
    sys.stdout.write(json.dumps(said))
    sys.stdout.flush()
    os._exit(0)  # nothing needs tidying, and nothing more can go wrong


def _read(path: str, out: str | None) -> dict[str, Any]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size < 16:
        raise Refused("it is no whole file")
    target = open(out, "xb") if out else None  # noqa: SIM115 - closed where it is written
    _limit(status.st_size)
    # Not closed: views into it are about until this process ends.
    found = opened(memoryview(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)))
    views = _checked(dict(_once(found)), found, status.st_size)
    if target:
        with target:
            _write(views, found, target)
    return {
        "tensors": {name: [view.dtype, list(view.shape)] for name, view in views.items()},
        "plain": plain_in(found.value),
        "strided": {name: list(v.strides) for name, v in views.items() if not _in_rows(v)},
    }


def _limit(size: int) -> None:
    """Memory, processor time, files written, no other process."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_AS, (2 * _MEMORY + size, 2 * _MEMORY + size))
    seconds = _SECONDS + size // _BYTES_A_SECOND
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    written = (_MOST_COPIES + 1) * size + 2**24
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _once(found: Opened) -> Iterator[tuple[str, View]]:
    """The tensors, none of whose names comes twice."""
    seen: set[str] = set()
    for name, view in tensors_in(found.value):
        if name in seen or len(seen) == _MOST_TENSORS or name == "__metadata__":
            raise Refused("it has tensors of the same name, or too many")
        seen.add(name)
        yield name, view


def _checked(views: dict[str, View], found: Opened, size: int) -> dict[str, View]:
    """Whether each tensor lies within its storage, and all of them within reason."""
    total, lengths = 0, {}
    if not views:
        raise Refused("it holds no tensors")
    for name, view in views.items():
        key = view.storage.key
        if key not in lengths:
            lengths[key] = len(found.storage(key))
        width = BYTES[view.dtype]
        if (view.offset + _span(view)) * width > lengths[key]:
            raise Refused(f"the tensor {name[:60]!r} reaches beyond its numbers")
        total += max(_span(view), _count(view)) * width
    if total > _MOST_COPIES * size + 2**16:
        raise Refused(f"its tensors come to {total} bytes, the file has {size}: as in a bomb")
    return views


def _count(view: View) -> int:
    count = 1
    for side in view.shape:
        count *= side
    return count


def _span(view: View) -> int:
    """How many numbers lie from its first to its last."""
    if 0 in view.shape:
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(view.shape, view.strides))


def _in_rows(view: View) -> bool:
    """Whether its numbers lie one behind the other in the order of its shape."""
    step = 1
    for side, stride in zip(reversed(view.shape), reversed(view.strides)):
        if side != 1 and stride != step:
            return _count(view) == 0
        step *= side
    return True


def _write(views: dict[str, View], found: Opened, target: Any) -> None:
    """As safetensors: a length, a JSON header, the numbers without gaps (its format's page)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    # The widest numbers first, so that each lies at a multiple of its width.
    order = sorted(views.items(), key=lambda item: -BYTES[item[1].dtype])
    for name, view in order:
        shape = list(view.shape) if _in_rows(view) else [_span(view)]
        end = at + _span(view) * BYTES[view.dtype]
        header[name] = {"dtype": view.dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    target.write(len(text).to_bytes(8, "little") + text)
    for name, view in order:
        width = BYTES[view.dtype]
        first = view.offset * width
        numbers = found.storage(view.storage.key)[first : first + _span(view) * width]
        for begin in range(0, len(numbers), _CHUNK):
            part = numbers[begin : begin + _CHUNK]
            if view.dtype == "BOOL" and bytes(part).translate(None, b"\x00\x01"):
                raise Refused(f"the tensor {name[:60]!r} has truth values other than 0 and 1")
            target.write(part)


if __name__ == "__main__":
    main()
