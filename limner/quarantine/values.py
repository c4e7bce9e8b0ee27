"""What the machine makes of the few names that it knows: none of them is the thing named.

A pickle asks for `torch._utils._rebuild_tensor_v2`; it gets `_tensor` below, which notes down where
the tensor's numbers lie. Whatever is not in NAMES is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BYTES",
    "LARGEST_PICKLE",
    "NAMES",
    "Made",
    "Named",
    "Opened",
    "Refused",
    "Storage",
    "View",
    "inert",
    "put",
    "storage_of",
]


class Refused(Exception):
    """The file is not read; the message says why, in one line."""


@dataclass(frozen=True)
class Named:
    """A name that a pickle looked up. `make` says what calling it gives; None: it may not be."""

    name: str
    make: Callable[..., Any] | None = None


@dataclass(eq=False)
class Made:
    """An object of a class that is not here: what its pickle sets on it, as plain values.

    fill: what takes a state that is no dictionary; None: there is none
    """

    name: str
    state: dict[Any, Any] = field(default_factory=dict)
    fill: Callable[[Made, Any], None] | None = None


@dataclass(frozen=True)
class Storage:
    """Numbers in a file: under this key, so many of this type; type "" where none is said."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: where in a storage it begins, its shape and its strides, all in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class Opened:
    """What a file holds: its value, and the numbers of a storage by its key."""

    value: Any
    storage: Callable[[str], memoryview]


LARGEST_PICKLE = 32_000_000  # bytes, of one that holds no numbers
# safetensors' names of types, and the bytes of one number.
BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1,
}  # fmt: skip
_STORAGES = {
    "Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64",
    "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL", "Untyped": "",
}  # fmt: skip
_DTYPES = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16",
    "half": "F16", "bfloat16": "BF16", "int64": "I64", "long": "I64", "int32": "I32",
    "int": "I32", "int16": "I16", "short": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_MOST_DIMENSIONS, _LARGEST = 12, 2**48
_PLAIN = (str, int, float, bool, bytes, type(None))


def _whole(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise Refused(f"a tensor's {what} is no whole number from 0 up")
    return value


def _wholes(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > _MOST_DIMENSIONS:
        raise Refused(f"a tensor's {what} is no short list of whole numbers")
    return tuple(_whole(each, what) for each in values)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> View:
    """torch._utils._rebuild_tensor and _v2; what follows says which gradients it wants."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor without a storage")
    if not storage.dtype:
        raise Refused("a tensor that says no type of numbers")
    return _view(storage, storage.dtype, offset, shape, strides)


def _tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> View:
    """torch._utils._rebuild_tensor_v3: its storage is of bytes, the type stands by itself."""
    known = _DTYPES.get(dtype.name.removeprefix("torch.")) if isinstance(dtype, Named) else None
    if not isinstance(storage, Storage) or known is None:
        raise Refused("a tensor without a storage or a known type of numbers")
    return _view(storage, known, offset, shape, strides)


def _view(storage: Storage, dtype: str, offset: Any, shape: Any, strides: Any) -> View:
    sides, steps = _wholes(shape, "shape"), _wholes(strides, "strides")
    if len(sides) != len(steps):
        raise Refused("a tensor whose shape and strides are not as long as each other")
    return View(storage, dtype, _whole(offset, "offset"), sides, steps)


def _parameter(data: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter: the tensor in it."""
    if not isinstance(data, View):
        raise Refused("a parameter that is no tensor")
    return data


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    """collections.OrderedDict, and Lightning's dictionaries."""
    if isinstance(pairs, dict):
        return dict(pairs)
    made: dict[Any, Any] = {}
    for pair in pairs if isinstance(pairs, (list, tuple)) else ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise Refused("a dictionary made of no pairs")
        put(made, pair[0], pair[1])
    return made


def put(into: dict[Any, Any], key: Any, value: Any) -> None:
    """into[key] = value, for keys whose hash costs nothing: nested tuples' may take for ever."""
    if isinstance(key, tuple) and len(key) <= 4 and all(isinstance(k, _PLAIN) for k in key):
        key = str(key)
    if not isinstance(key, (*_PLAIN, Named)):
        raise Refused("its pickle has a dictionary with keys that are no plain values")
    into[key] = value


def _sequence(values: Any = ()) -> list[Any]:
    """torch.Size, and TorchScript's lists."""
    if not isinstance(values, (tuple, list)):
        raise Refused("a list made of no list")
    return list(values)


def _sparse(*_: Any) -> Any:
    raise Refused("it holds sparse or quantised tensors: save dense ones")


def _names() -> dict[str, Callable[..., Any] | None]:
    out: dict[str, Callable[..., Any] | None] = {
        "collections.OrderedDict": _mapping,
        "pytorch_lightning.utilities.parsing.AttributeDict": _mapping,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_v3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_sparse_tensor": _sparse,
        "torch._utils._rebuild_sparse_csr_tensor": _sparse,
        "torch._utils._rebuild_qtensor": _sparse,
        "torch.Size": _sequence,
        "torch.device": lambda *said: "device",
        "argparse.Namespace": lambda: Made("argparse.Namespace"),
        "torch.storage.UntypedStorage": None,
    }
    lists = ("build_intlist", "build_boollist", "build_doublelist", "build_tensorlist")
    out |= {f"torch.jit._pickle.{name}": _sequence for name in lists}
    out["torch.jit._pickle.restore_type_tag"] = lambda value, *_: value
    out |= {f"torch.{name}Storage": None for name in _STORAGES}
    return out | {f"torch.{name}": None for name in _DTYPES}


NAMES = _names()
# Lightning's checkpoints have the classes of its callbacks as keys: names, never called.
_INERT = ("pytorch_lightning.callbacks.", "lightning.pytorch.callbacks.")


def inert(module: str, name: str, script: bool = False) -> Named:
    """The machine's own stand-in for a name. Raises Refused for one it does not know.

    script: the file is a TorchScript archive, whose objects' classes are all in `__torch__`
    """
    full = f"{module}.{name}"
    if full in NAMES:
        return Named(full, NAMES[full])
    if script and (module == "__torch__" or module.startswith("__torch__.")):
        return Named(full, lambda: Made(full))
    if full.startswith(_INERT):
        return Named(full)
    shown = "".join(c if c.isprintable() else "?" for c in full[:80])
    raise Refused(f"its pickle asks for {shown!r}, which is no tensor and no plain value")


def storage_of(said: Any) -> Storage:
    """What a persistent id means: ("storage", type, key, place, count), and nothing else.

    Legacy files have a sixth part, for a storage within another; only None is known.
    """
    if not isinstance(said, tuple) or len(said) not in (5, 6) or said[0] != "storage":
        raise Refused("its pickle has a persistent id that is no storage")
    kind = said[1].name.split(".")[-1].removesuffix("Storage") if isinstance(said[1], Named) else ""
    if kind not in _STORAGES:
        raise Refused("its pickle has a storage of no known type of numbers")
    if len(said) == 6 and said[5] is not None:
        raise Refused("it has storages within storages, as torch before 0.4 wrote them")
    if not isinstance(said[2], str):
        raise Refused("its pickle has a storage without a name")
    return Storage(said[2], _STORAGES[kind], _whole(said[4], "storage"))
