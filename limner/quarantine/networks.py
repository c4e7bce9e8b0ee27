"""NVIDIA's pickled networks (StyleGAN2-ADA and StyleGAN3: their torch_utils/persistence.py).

Such a file asks for `_reconstruct_persistent_obj` with a module's source text, a class's name and a
state: its own reader runs the text. Here the text is dropped unread, and the network is a record of
its name, tensors and plain values. A tensor's numbers are a row of `legacy` pickles in a string.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

from limner.quarantine.legacy import MAGIC, legacy
from limner.quarantine.machine import Budget, Machine
from limner.quarantine.values import Made, Named, Opened, Refused, Storage, inert, put

__all__ = ["networks"]

_TAKEN = "G_ema"  # the generator's average, which paints; G, D and the rest are left out
_PARTS = ("_parameters", "_buffers", "_modules")  # torch.nn.Module's
_MOST_STORAGES = 3000  # of G, D and G_ema together; StyleGAN2's of 1024 pixels have 500
_MOST_NUMBERS = 64  # of an array: sizes and paddings; a network's numbers are tensors
# numpy's codes of types, and struct's.
_CODES = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "i2": "h", "u1": "B", "b1": "?"}


def networks(data: memoryview) -> Opened:
    """A file's G_ema. Raises Refused for every other pickle."""
    inside = _Inside()
    value = Machine(data, named=inside.named, budget=inside.budget).run()
    network = value.get(_TAKEN) if isinstance(value, dict) else None
    if not isinstance(network, Made):
        raise Refused("it is a pickle, but neither torch.save's nor one of a StyleGAN's G_ema")
    return Opened({_TAKEN: network}, inside.storage)


class _Inside:
    """What lies in one such file."""

    def __init__(self) -> None:
        self.budget = Budget()  # of all pickles in it together
        self.numbers: dict[str, memoryview] = {}

    def named(self, module: str, name: str) -> Named:
        """The machine's stand-in for a name: checkpoints' and these."""
        full = f"{module}.{name}"
        if full == "torch.storage._load_from_bytes":
            return Named(full, self._storage)
        if full in _NAMES:
            return Named(full, _NAMES[full])
        if module.startswith("dnnlib.tflib"):
            raise Refused(
                "it is a pickle of TensorFlow's StyleGAN, which holds code and no tensors: take "
                "the same network for PyTorch (NVIDIA has one of each; its legacy.py writes it)"
            )
        return inert(module, name)

    def _storage(self, packed: Any) -> Storage:
        if not isinstance(packed, (bytes, memoryview)) or MAGIC not in bytes(packed[:32]):
            raise Refused("a storage that is none of torch.save")
        if len(self.numbers) == _MOST_STORAGES:
            raise Refused("it has more tensors than any network, as in a bomb")
        row = legacy(memoryview(packed), self.budget)
        if not isinstance(row.value, Storage):
            raise Refused("a storage that is none")
        key = str(len(self.numbers))  # their own are addresses, and may come twice
        self.numbers[key] = row.storage(row.value.key)
        return replace(row.value, key=key)

    def storage(self, key: str) -> memoryview:
        return self.numbers[key]


def _network(said: Any = None, *_: Any) -> Made:
    """A record of what `_reconstruct_persistent_obj` would make, with a state dict's names."""
    state = said.get("state") if isinstance(said, dict) else None
    name = said.get("class_name") if isinstance(said, dict) else None
    if not isinstance(state, dict) or not isinstance(name, str) or said.get("type") != "class":
        raise Refused("it has a network without a state or a name")
    made = Made(name)
    for key, value in state.items():
        if key in _PARTS:
            for inner, part in value.items() if isinstance(value, dict) else ():
                put(made.state, inner, part)
        elif isinstance(key, str) and not key.startswith("_"):
            put(made.state, key, value)
    put(made.state, "class_name", name)
    return made


def _dtype(code: Any = "", *_: Any) -> Made:
    """numpy.dtype; its state follows, and says the order of its bytes first but one."""
    if not isinstance(code, str) or code not in _CODES:
        raise Refused("it has an array of no plain numbers")
    return Made("numpy.dtype", {"code": code}, _set_dtype)


def _set_dtype(made: Made, state: Any) -> None:
    if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|"):
        raise Refused("it has an array of no plain numbers, or big-endian")


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    """numpy.core.multiarray.scalar: the number."""
    return _numbers(dtype, raw, 1)[0]


def _array(*_: Any) -> Made:
    """numpy.core.multiarray._reconstruct: empty, its state follows."""
    return Made("numpy.ndarray", {}, _set_array)


def _set_array(made: Made, state: Any) -> None:
    """A short array's numbers, row by row."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[1], tuple):
        raise Refused("it has an array that is broken")
    count = 1
    for side in state[1]:
        if type(side) is not int or not 0 <= side <= _MOST_NUMBERS:
            raise Refused("it has an array that is broken or too large")
        count *= side
    made.state.update(enumerate(_numbers(state[2], state[4], count)))


def _buffer(raw: Any, dtype: Any, shape: Any, *_: Any) -> Made:
    """numpy.core.numeric._frombuffer: the same at once, since protocol 5."""
    made = Made("numpy.ndarray")
    _set_array(made, (1, shape, dtype, False, raw))
    return made


def _numbers(dtype: Any, raw: Any, count: int) -> tuple[Any, ...]:
    code = _CODES.get(dtype.state.get("code", "")) if isinstance(dtype, Made) else None
    if code is None or count > _MOST_NUMBERS or not isinstance(raw, bytes):
        raise Refused("it has an array of no plain numbers, or too large")
    return struct.unpack(f"<{count}{code}", raw)


def _sequence(values: Any = ()) -> list[Any]:
    """A set."""
    if not isinstance(values, (tuple, list)):
        raise Refused("a list made of no list")
    return list(values)


_NAMES: dict[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _network,
    "dnnlib.util.EasyDict": lambda *said: {},
    "builtins.set": _sequence,
    "__builtin__.set": _sequence,
    "numpy.dtype": _dtype,
    "numpy.ndarray": None,
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _buffer for core in ("core", "_core")},
}
