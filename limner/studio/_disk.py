"""Files that are there whole or not at all, and a full disk told apart from every other failure."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from limner.errors import LimnerError

__all__ = ["PART", "NoSpace", "full_disk_told", "sync_folder", "write_files"]

PART = ".part"  # what a file's name ends in until the whole of it is on disk
_FULL = (errno.ENOSPC, errno.EDQUOT)
# A disk without room shows itself to sqlite in these ways, too: a memory map, journal or sync that
# cannot be had. Each has other causes, so that the room left is looked at before it is believed.
_PERHAPS_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_LITTLE = 2**20  # bytes: with less left, such an error is the disk's


class NoSpace(LimnerError):
    """The disk is full. Nothing was changed; the same call works once there is room."""

    def __init__(self) -> None:
        super().__init__("the disk is full: nothing was written; make room and try again")


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Raises NoSpace for what a full disk makes the operating system or sqlite raise."""
    try:
        yield
    except sqlite3.Error as error:
        if _is_full(error, folder):
            raise NoSpace from error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise LimnerError("the data folder is busy: try again in a moment") from error
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace from error
        raise


def _is_full(error: sqlite3.Error, folder: Path) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind
    if code == sqlite3.SQLITE_FULL:
        return True
    if code not in _PERHAPS_FULL:
        return False
    left = os.statvfs(folder)
    return left.f_bavail * left.f_frsize < _LITTLE


def write_files(
    folder: Path, files: Mapping[str, bytes], at: Callable[[str], None] = lambda point: None
) -> None:
    """Writes all of these files or none: parts first, synced, then renamed, then the folder synced.

    files:  name in the folder → content
    at:     called in the middle of a file, when a part is whole, and when a file has its name
    """
    written: list[Path] = []
    try:
        with full_disk_told(folder):
            for name, data in files.items():
                part = folder / (name + PART)
                written.append(part)
                _write_part(part, data, at)
                written.append(folder / name)
                os.replace(part, folder / name)
                at("after-file")
            sync_folder(folder)
    except BaseException:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise


def _write_part(part: Path, data: bytes, at: Callable[[str], None]) -> None:
    with open(part, "wb", buffering=0) as file:
        half, left = len(data) // 2, memoryview(data)
        while left:
            left = left[file.write(left[: max(half, 1)]) :]
            at("mid-file")
        os.fsync(file.fileno())
    at("after-part")


def sync_folder(folder: Path) -> None:
    """What was renamed or removed in it stays so through a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
