"""torch.save before 1.6: pickles one behind the other, then the numbers (torch/serialization.py).

A magic number, a version, the system, the value, the storages' keys; then each storage's count and
numbers, in the keys' order. A storage that is pickled without torch.save is such a row, too.
"""

from __future__ import annotations

import struct

from limner.quarantine.machine import Budget, Machine
from limner.quarantine.values import BYTES, LARGEST_PICKLE, Opened, Refused

__all__ = ["MAGIC", "legacy"]

_NUMBER = 0x1950A86A20F9469CFC6C
MAGIC = _NUMBER.to_bytes(10, "little")  # as it stands in a file's first bytes
_MOST_STORAGES = 100_000


def legacy(data: memoryview, budget: Budget | None = None) -> Opened:
    """The row's value and storages. Raises Refused where it is broken, or something else."""
    at, said = 0, []
    sizes: dict[str, int] = {}
    for _ in range(5):
        machine = Machine(data[:LARGEST_PICKLE], at, budget=budget)
        said.append(machine.run())
        at = machine.at
        sizes |= {key: BYTES.get(each.dtype, 1) for key, each in machine.storages.items()}
        if said[0] != _NUMBER:
            raise Refused("it is a pickle, but none of torch.save")
    _, version, system, value, keys = said
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian"):
        raise Refused("it is of another version of torch.save, or big-endian")
    if not isinstance(keys, list) or len(keys) > _MOST_STORAGES:
        raise Refused("its list of storages is broken")
    places: dict[str, memoryview] = {}
    for key in keys:
        if not isinstance(key, str) or key not in sizes or at + 8 > len(data):
            raise Refused("its storages are broken or cut short")
        (count,) = struct.unpack_from("<q", data, at)
        end = at + 8 + count * sizes[key]
        if count < 0 or end > len(data):
            raise Refused("it is cut short: a tensor's numbers are missing")
        places[key], at = data[at + 8 : end], end

    def storage(key: str) -> memoryview:
        if key not in places:
            raise Refused("a tensor's numbers are missing")
        return places[key]

    return Opened(value, storage)
