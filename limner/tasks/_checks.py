"""Checks that several tasks make before they begin, and the CLIPs that are meant."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limner.errors import BadInput

__all__ = [
    "MOST_PICTURES",
    "check_files",
    "check_local",
    "check_repainting",
    "check_run",
    "check_strength",
    "check_unchanged",
    "check_whole",
    "check_writable",
    "clip_names",
    "file_hash",
    "is_local",
]

MOST_PICTURES = 10_000
_MOST_FEATHER, _MOST_ROUNDS = 1024, 100


def check_whole(bounds: Mapping[str, tuple[int, int, int]]) -> None:
    """BadInput unless each (value, lowest, highest) is a whole number within its bounds."""
    for what, (value, low, high) in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadInput(f"{what} {value!r}: give a whole number from {low} to {high}")


def check_run(count: int, seed: int, first: int) -> None:
    """BadInput unless these are pictures of a run: see `generate`."""
    check_whole(
        {
            "count": (count, 1, MOST_PICTURES),
            "seed": (seed, 0, 2**64 - 1),
            "first": (first, 0, 2**53),
        }
    )


def check_strength(strength: float) -> None:
    if not 0 < strength <= 1:
        raise BadInput(f"strength {strength}: give a number above 0, up to 1")


def check_repainting(feather: int, resample: int | None) -> None:
    """BadInput unless they can be those of a task that paints a part of a picture."""
    check_whole({"feather": (feather, 0, _MOST_FEATHER)})
    check_whole({"resample": (1 if resample is None else resample, 1, _MOST_ROUNDS)})


def check_writable(path: Path) -> Path:
    """The path, when a file can be written there, or in a new folder just above it; else BadInput.

    Said before the work begins, not after it.
    """
    nearest = path.parent if path.parent.exists() else path.parent.parent
    if not nearest.is_dir() or (nearest != path.parent and path.parent.suffix):
        raise BadInput(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise BadInput(f"cannot write {str(path)!r}: it is a folder")
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise BadInput(f"cannot write {str(path)!r}: {error.strerror}") from None
    return path


def file_hash(name: str) -> str:
    """A file's SHA-256. Only a plain file is read: the name may come from a recipe. BadInput."""
    try:
        if not Path(name).is_file():
            raise BadInput(f"cannot read {name!r}: there is no such file")
        with open(name, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise BadInput(f"cannot read {name!r}: {getattr(error, 'strerror', error)}") from None


def check_local(name: object, flag: str) -> None:
    """BadInput unless a recipe's model comes with limner or is a folder here.

    A picture may come from anywhere: it must not decide what is fetched from the network.
    """
    if not is_local(name):
        raise BadInput(f"the picture was made with {name!r}: give that {flag} yourself (--{flag})")


def is_local(name: object) -> bool:
    """Whether a model's name means one that comes with limner, is a folder here or on the shelf,
    and so does its adapter, if it has one."""
    from limner.models._open import parted, split_added
    from limner.models._shelf import find, to_files
    from limner.models.adapter import adapters_here
    from limner.models.checkpoint import is_checkpoint
    from limner.models.embedded import CLIPS
    from limner.models.taesd import is_here, taken_out

    if not (isinstance(name, str) and name):
        return False
    base, rest = parted(name)
    quick, rest = taken_out(to_files(rest))
    files, adapter = split_added(rest)
    own = base in CLIPS or os.path.isdir(base) or is_checkpoint(base) or find(base) is not None
    own = own and all(is_checkpoint(file) for file, _ in files)
    own = own and all(is_here(each) for each in quick)
    return own and (adapter in ("", *adapters_here()) or os.path.isdir(adapter))


def check_unchanged(recipe: Mapping[str, Any], *, model: object, clip: object) -> None:
    """BadInput where a file that a recipe's picture was made from is not as it was, or a model that
    the caller does not name (None) would come from elsewhere."""
    said = recipe["arguments"]
    for name in said.get("clip", ()) if clip is None else ():
        check_local(name, "clip")
    if model is None and said["model"] is not None:
        check_local(said["model"], "model")
    check_files(recipe)


def check_files(recipe: Mapping[str, Any]) -> None:
    """BadInput where a file that a recipe's picture was made from is not as it was."""
    for name, digest in dict(recipe["files"]).items():
        if file_hash(name) != digest:
            raise BadInput(f"the file {name!r} is not the one it was made from: restore it")


def clip_names(clip: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names in a list with commas, or in several; limner's own when not given."""
    from limner.models.embedded import judging

    texts = judging() if clip is None else [clip] if isinstance(clip, str) else clip
    return tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
