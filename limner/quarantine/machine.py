"""A pickle machine for tensors and plain values (pickletools documents the opcodes).

One pass over the bytes: no opcode loops, looks anything up or calls what a file names. The work is
bounded by a budget of opcodes, the memory by that and the file's length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limner.quarantine.values import Made, Named, Refused, Storage, View, inert, put, storage_of

__all__ = ["Budget", "Machine"]

_MOST_OPCODES = 400_000  # a checkpoint of 2,500 tensors with its optimiser's has 300,000
_LONGEST_LINE, _LONGEST_INTEGER = 512, 16  # characters, bytes
_LONG = 4096  # bytes from which a string is left where it lies
_MARK = object()


@dataclass
class Budget:
    """How many opcodes are left, of one pickle or of several together."""

    left: int = _MOST_OPCODES


class Machine:
    """Runs one pickle in `data` from `at`; `at` is behind it afterwards.

    named: what a module's name stands for
    """

    def __init__(
        self,
        data: bytes | memoryview,
        at: int = 0,
        named: Callable[[str, str], Named] = inert,
        budget: Budget | None = None,
    ) -> None:
        self.data, self.at, self.named = data, at, named
        self.budget = budget or Budget()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        """What the pickle stands for. Raises Refused for everything that is not plain."""
        try:
            while self.budget.left:
                self.budget.left -= 1
                code = self.data[self.at]
                self.at += 1
                if code == 0x2E:  # STOP
                    return self.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise Refused(f"its pickle has the opcode {code:#04x}: not one of plain values")
                step(self)
        except (IndexError, ValueError, struct.error, TypeError, OverflowError, RecursionError):
            raise Refused("its pickle is broken") from None
        raise Refused(f"its pickle has more than {_MOST_OPCODES} steps")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count < 0 or self.at + count > len(self.data):
            raise Refused("its pickle is cut short")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def line(self) -> str:
        """Up to the next newline."""
        part = bytes(self.data[self.at : self.at + _LONGEST_LINE])
        end = part.find(b"\n")
        if end < 0:
            raise Refused("its pickle has a line without an end")
        self.at += end + 1
        return part[:end].decode("utf-8")

    def number(self, form: str) -> int:
        """One integer in struct's form."""
        value: int = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]
        return value

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise Refused("its pickle is broken")
        return value

    def since_mark(self) -> list[Any]:
        """All that lies above the last mark, taken off with it."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                above = self.stack[at + 1 :]
                del self.stack[at:]
                return above
        raise Refused("its pickle is broken")

    def push(self, value: Any) -> None:
        self.stack.append(value)


def _refuse(what: str) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        raise Refused(f"its pickle {what}, which tensors and plain values never need")

    return step


def _constant(value: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value())


def _integer(form: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.number(form))


def _text(form: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(form)).decode("utf-8"))


def _raw(form: str) -> Callable[[Machine], None]:
    """Bytes. Long ones hold numbers: they stay where they are."""

    def step(machine: Machine) -> None:
        count, data = machine.number(form), machine.data
        if count < _LONG or isinstance(data, bytes) or machine.at + count > len(data):
            machine.push(machine.take(count))
            return
        machine.at += count
        machine.push(data[machine.at - count : machine.at])

    return step


def _latin(form: str) -> Callable[[Machine], None]:
    """Strings of Python 2: text in latin-1."""
    return lambda machine: machine.push(machine.take(machine.number(form)).decode("latin-1"))


def _long(form: str) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        count = machine.number(form)
        if not 0 <= count <= _LONGEST_INTEGER:
            raise Refused(f"its pickle has an integer of {count} bytes")
        machine.push(int.from_bytes(machine.take(count), "little", signed=True))

    return step


def _written_integer(machine: Machine) -> None:
    line = machine.line().removesuffix("L")
    if len(line) > 2 * _LONGEST_INTEGER:
        raise Refused("its pickle has an integer that is too long")
    machine.push({"00": False, "01": True}.get(line, int(line)))


def _written_text(machine: Machine) -> None:
    machine.push(machine.line())


def _float(machine: Machine) -> None:
    machine.push(struct.unpack(">d", machine.take(8))[0])


def _tuple(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        parts = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(parts)))

    return step


def _tuple_of_mark(machine: Machine) -> None:
    machine.push(tuple(machine.since_mark()))


def _list_of_mark(machine: Machine) -> None:
    machine.push(machine.since_mark())


def _dict_of_mark(machine: Machine) -> None:
    values = machine.since_mark()
    made: dict[Any, Any] = {}
    machine.push(made)
    _put(made, values)


def _append(machine: Machine) -> None:
    _extend(machine, [machine.pop()])


def _appends(machine: Machine) -> None:
    _extend(machine, machine.since_mark())


def _extend(machine: Machine, values: list[Any]) -> None:
    if not isinstance(machine.stack[-1], list):
        raise Refused("its pickle appends to what is no list")
    machine.stack[-1].extend(values)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _put(machine.stack[-1], [key, value])


def _set_items(machine: Machine) -> None:
    values = machine.since_mark()
    _put(machine.stack[-1], values)


def _put(into: Any, values: list[Any]) -> None:
    if not isinstance(into, dict) or len(values) % 2:
        raise Refused("its pickle sets items of what is no dictionary")
    for key, value in zip(values[::2], values[1::2]):
        put(into, key, value)


def _memo(key: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine.memo[key(machine)] = machine.stack[-1]

    return step


def _recall(key: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        wanted = key(machine)
        if wanted not in machine.memo:
            raise Refused("its pickle is broken")
        machine.push(machine.memo[wanted])

    return step


def _global(machine: Machine) -> None:
    module = machine.line()
    machine.push(machine.named(module, machine.line()))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("its pickle asks for a name that is no text")
    machine.push(machine.named(module, name))


def _persistent(machine: Machine) -> None:
    storage = storage_of(machine.pop())
    machine.storages[storage.key] = storage
    machine.push(storage)


def _call(machine: Machine) -> None:
    """REDUCE and NEWOBJ: only what `values.py` says."""
    arguments, named = machine.pop(), machine.pop()
    if not isinstance(named, Named) or named.make is None:
        raise Refused(
            f"its pickle calls {str(getattr(named, 'name', type(named).__name__))[:60]!r}"
        )
    if not isinstance(arguments, tuple):
        raise Refused("its pickle is broken")
    machine.push(named.make(*arguments))


def _build(machine: Machine) -> None:
    """BUILD: the state of an object that is not here, or of a dictionary (`_metadata`: dropped)."""
    state = machine.pop()
    target = machine.stack[-1]
    if isinstance(target, Made) and target.fill:
        target.fill(target, state)
    elif isinstance(target, Made) and isinstance(state, dict):
        target.state.update(state)
    elif not isinstance(target, (dict, View)):
        raise Refused("its pickle sets the state of what has none")


def _drop(machine: Machine) -> None:
    machine.stack.pop()


def _drop_to_mark(machine: Machine) -> None:
    machine.since_mark()


def _again(machine: Machine) -> None:
    machine.push(machine.stack[-1])


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _skip(count: int) -> Callable[[Machine], None]:
    return lambda machine: (machine.take(count), None)[1]


_STEPS: dict[int, Callable[[Machine], None]] = {
    0x80: _skip(1),  # PROTO
    0x95: _skip(8),  # FRAME
    ord("("): lambda machine: machine.push(_MARK),
    ord("0"): _drop,
    ord("1"): _drop_to_mark,
    ord("2"): _again,
    ord("N"): _constant(lambda: None),
    0x88: _constant(lambda: True),
    0x89: _constant(lambda: False),
    ord("I"): _written_integer,
    ord("L"): _written_integer,
    ord("J"): _integer("i"),
    ord("K"): _integer("B"),
    ord("M"): _integer("H"),
    0x8A: _long("B"),
    0x8B: _long("i"),
    ord("G"): _float,
    ord("F"): lambda machine: machine.push(float(machine.line())),
    ord("V"): _written_text,
    ord("X"): _text("I"),
    0x8C: _text("B"),
    0x8D: _text("Q"),
    ord("U"): _latin("B"),
    ord("T"): _latin("i"),
    ord("B"): _raw("I"),
    ord("C"): _raw("B"),
    0x8E: _raw("Q"),
    0x96: _raw("Q"),  # a bytearray
    ord(")"): _constant(tuple),
    ord("t"): _tuple_of_mark,
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("]"): _constant(list),
    ord("l"): _list_of_mark,
    0x8F: _constant(list),  # a set: all that is asked of it is what it holds
    0x90: _appends,
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): _constant(dict),
    ord("d"): _dict_of_mark,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("p"): _memo(lambda machine: int(machine.line())),
    ord("q"): _memo(lambda machine: machine.number("B")),
    ord("r"): _memo(lambda machine: machine.number("I")),
    0x94: _memoize,
    ord("g"): _recall(lambda machine: int(machine.line())),
    ord("h"): _recall(lambda machine: machine.number("B")),
    ord("j"): _recall(lambda machine: machine.number("I")),
    ord("c"): _global,
    0x93: _stack_global,
    ord("Q"): _persistent,
    ord("P"): _refuse("has a persistent id in text"),
    ord("R"): _call,
    0x81: _call,
    0x92: _refuse("makes an object with named arguments"),
    ord("i"): _refuse("makes an object by INST"),
    ord("o"): _refuse("makes an object by OBJ"),
    ord("b"): _build,
    0x82: _refuse("uses the extension registry"),
    0x83: _refuse("uses the extension registry"),
    0x84: _refuse("uses the extension registry"),
    0x97: _refuse("uses buffers from outside"),
    0x98: _refuse("uses buffers from outside"),
    ord("S"): _refuse("has a quoted string of the first protocol"),
}
