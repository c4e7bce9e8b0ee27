"""Pickled checkpoints, read by a child process (`limner/quarantine`) that knows tensors only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

import limner
from limner.errors import BadInput
from limner.models import _folder

__all__ = ["Contents", "contents", "finite", "unpickled"]

_SECONDS, _BYTES_A_SECOND = 10, 30_000_000
_MOST_SAID = 64_000_000  # bytes of the child's answer
# -I and -S: neither the user's settings nor installed packages come near it.
_PROGRAM = "import sys; sys.path.append({!r}); from limner.quarantine.child import main; main()"


@dataclass(frozen=True)
class Contents:
    """What a file holds: types and shapes of tensors by name, and its plain values."""

    tensors: dict[str, tuple[str, tuple[int, ...]]]
    plain: dict[str, Any] = field(default_factory=dict)
    strided: dict[str, tuple[int, ...]] = field(default_factory=dict)


def contents(file: Path) -> Contents:
    """A pickled file's description; no tensor is read. Raises BadInput where it is refused."""
    return _asked(file)


def unpickled(file: Path, target: Path) -> tuple[dict[str, Tensor], Contents]:
    """A pickled file's tensors, written to `target` (safetensors) on the way, and its description.

    Raises BadInput where it is refused, or holds numbers that are none.
    """
    said = _asked(file, target)
    state = _folder.tensors([target])
    for name, strides in said.strided.items():
        shape = said.tensors[name][1]
        state[name] = state[name].as_strided(shape, strides).contiguous()
    finite(state, file)
    return state, said


def finite(state: dict[str, Tensor], file: Path) -> None:
    """Raises BadInput where a tensor holds infinity or what is no number."""
    for name, tensor in state.items():
        if tensor.is_sparse or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        for part in tensor.flatten().split(2**22):
            if not part.isfinite().all():
                raise BadInput(
                    f"{str(file)!r} has infinity or NaN in {name[:80]!r}: it is broken or its "
                    "training failed; give another checkpoint"
                )


def _asked(file: Path, target: Path | None = None) -> Contents:
    size = _checked_size(file)
    home = Path(limner.__file__).parents[1]
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM.format(str(home)), str(file.absolute())]
    if target:
        command.append(str(target.absolute()))
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS + size / _BYTES_A_SECOND,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            cwd=file.absolute().parent,
        )
        said = json.loads(ended.stdout) if len(ended.stdout) < _MOST_SAID else None
    except (subprocess.TimeoutExpired, ValueError):
        said = None
    if not isinstance(said, dict):
        said = {"refused": "reading it takes more time or memory than any honest file's"}
    if "refused" in said:
        raise BadInput(
            f"{str(file)!r} is not read: {said['refused']}. Nothing in it was run; "
            "limner takes tensors and plain values only"
        )
    return Contents(
        {name: (kind, tuple(shape)) for name, (kind, shape) in said["tensors"].items()},
        said["plain"],
        {name: tuple(strides) for name, strides in said["strided"].items()},
    )


def _checked_size(file: Path) -> int:
    """Bytes of a file that is there and a file."""
    try:
        if file.is_file():
            return file.stat().st_size
        what = "is no file" if file.exists() else "is not there"
    except (OSError, ValueError):
        what = "is no file's name"
    raise BadInput(f"{str(file)[:200]!r} {what}: give a checkpoint's")
