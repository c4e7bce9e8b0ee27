"""Weights that stay in their file until they are used, and networks that share the memory.

Within `loading`, safetensors files are mapped, not read; where a network wants its weights as they
are stored, they are never copied, and what a layer has laid out for itself is given back to the
file. With `one_at_a_time`, a network has its weights only while it runs: the next one to run takes
its place.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from limner.models._rounded import nowhere, round_weight, roundable

__all__ = ["Loading", "Stored", "loading", "now"]

# By safetensors' names; a file with others is read by the library.
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}
_PAGE = mmap.PAGESIZE
Ready = Callable[[Tensor, str, torch.dtype], Tensor]


class Stored:
    """A checked safetensors file, mapped. Tensors over it are read when they are looked at."""

    def __init__(self, file: Path) -> None:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            self._said: dict[str, Any] = json.loads(opened.read(length))
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        self._said.pop("__metadata__", None)
        self._start = 8 + length
        whole = torch.frombuffer(self._map, dtype=torch.uint8)
        self._address, self._size = whole.data_ptr(), whole.numel()

    def known(self) -> bool:
        """Whether its types, and their places, are such as can be mapped."""
        return all(
            told["dtype"] in _TYPES
            and (self._start + told["data_offsets"][0]) % _TYPES[told["dtype"]].itemsize == 0
            for told in self._said.values()
        )

    def tensors(self) -> dict[str, Tensor]:
        """By name; nothing is read."""
        return {name: self._tensor(told) for name, told in self._said.items()}

    def _tensor(self, told: dict[str, Any]) -> Tensor:
        dtype, count = _TYPES[told["dtype"]], math.prod(told["shape"])
        if count == 0:
            return torch.empty(told["shape"], dtype=dtype)
        at = self._start + told["data_offsets"][0]
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=at).view(told["shape"])

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor's numbers lie in this file."""
        return 0 <= tensor.data_ptr() - self._address < self._size

    def give_back(self, tensor: Tensor | None = None) -> None:
        """The memory of a tensor's pages, or of all: whoever looks again reads the file again."""
        if not hasattr(mmap, "MADV_DONTNEED"):  # not Linux: the system does so in time
            return
        first, last = 0, self._size
        if tensor is not None:  # whole pages alone: on the others lie its neighbours
            at = tensor.data_ptr() - self._address
            first, last = -(-at // _PAGE) * _PAGE, (at + tensor.nbytes) // _PAGE * _PAGE
        if last > first:
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)


@dataclass
class Loading:
    """How networks that are put together now are to have their weights.

    dtype:    the floating type that they run in
    place:    what networks share that have weights one at a time; None: each has its own, always
    rounded:  large weights are kept in eight bits
    """

    dtype: torch.dtype
    place: Place | None = None
    rounded: bool = False
    files: list[Stored] = field(default_factory=list)

    def stored(self, file: Path) -> dict[str, Tensor] | None:
        """A checked file's tensors, where it can be mapped."""
        opened = Stored(file)
        if not opened.known():
            return None
        self.files.append(opened)
        return opened.tensors()

    def holding(self, tensor: Tensor) -> Stored | None:
        return next((file for file in self.files if file.holds(tensor)), None)

    def fill(self, network: nn.Module, state: dict[str, Tensor], ready: Ready) -> None:
        """Gives a network's parameters and buffers what `ready` makes of the state's tensors."""
        sources: dict[str, Tensor] = {}
        layers = roundable(network) if self.rounded else {}
        for name, weight in _weights(network):
            if name not in state:  # made by the network itself
                continue
            source, file = weight.data, self.holding(weight.data)
            made = ready(source, name, self._type(weight))
            if file is not None:
                file.give_back(source)
            if name in layers:
                made = round_weight(layers[name], made)
            elif file is not None and made.data_ptr() == source.data_ptr():
                weight.stored_in = file  # type: ignore[attr-defined]
            elif file is not None and self.place is not None:
                sources[name] = source
                made = nowhere(made)
            weight.data = made
        for file in self.files:  # from which tensors were put together
            file.give_back()
        if self.place is not None:
            self.place.invite(network, Sources(sources, ready, self.dtype, self.files))

    def _type(self, weight: Tensor) -> torch.dtype:
        """Buffers are tables, which stay exact."""
        return self.dtype if isinstance(weight, nn.Parameter) else torch.float32


@dataclass(frozen=True, eq=False)
class Sources:
    """What a network's weights are made from whenever it comes."""

    tensors: dict[str, Tensor]
    ready: Ready
    dtype: torch.dtype
    files: list[Stored]

    def fill(self, network: nn.Module) -> None:
        for name, weight in _weights(network):
            if name in self.tensors:
                exact = self.dtype if isinstance(weight, nn.Parameter) else torch.float32
                weight.data = self.ready(self.tensors[name], name, exact)
        self.give_back()

    def empty(self, network: nn.Module) -> None:
        for name, weight in _weights(network):
            if name in self.tensors:
                weight.data = nowhere(weight.data)
        for module in network.modules():
            blocks = getattr(module, "_blocks", None)
            if blocks is not None:
                blocks.forget()
        self.give_back()

    def give_back(self) -> None:
        for file in self.files:
            file.give_back()


class Place:
    """Where networks have their weights, one after the other."""

    def __init__(self) -> None:
        self._guest: ReferenceType[nn.Module] | None = None
        self._leave: Callable[[], None] = lambda: None

    def invite(self, network: nn.Module, sources: Sources) -> None:
        """The network comes whenever any of its layers is asked something."""
        known = ref(network)

        def come(module: nn.Module, given: Any) -> None:
            if self._guest is known:
                return
            self._leave()
            guest = known()
            assert guest is not None  # one of its layers is running
            sources.fill(guest)
            self._guest, self._leave = known, leave

        def leave() -> None:
            guest = known()
            if guest is not None:
                sources.empty(guest)

        for module in network.modules():
            module.register_forward_pre_hook(come)


def _weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


_NOW: ContextVar[Loading | None] = ContextVar("loading", default=None)


def now() -> Loading | None:
    """How networks are to be put together here; None: in float32, each with its own memory."""
    return _NOW.get()


@contextmanager
def loading(
    dtype: torch.dtype, *, one_at_a_time: bool = False, rounded: bool = False
) -> Iterator[Loading]:
    """What is opened within has its networks so."""
    how = Loading(dtype, Place() if one_at_a_time else None, rounded)
    before = _NOW.set(how)
    try:
        yield how
    finally:
        _NOW.reset(before)
