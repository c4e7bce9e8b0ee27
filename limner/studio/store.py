"""The studio's folder: a database of jobs and pictures, and the pictures' files beside it.

What a call wrote is on disk when it returns, and of a call that failed or was killed nothing is
seen. A file comes before the row that names it; what a kill leaves without a row, the sweep at the
next start removes.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from limner.errors import BadInput
from limner.studio._disk import PART, NoSpace, full_disk_told, write_files
from limner.studio._schema import VERSION, tables

__all__ = ["POINTS", "SIDES", "NoSpace", "NotFound", "Store", "data_folder", "is_id", "new_id"]

# Where `at` is called, so that tests can kill the process there.
POINTS = (
    "before-accept",  # the row is written, not committed
    "after-accept",  # on disk; who asked has not heard of it
    "after-lease",
    "mid-step",  # the worker is painting
    "mid-file",  # part of a picture's bytes is written
    "after-part",  # all of them, under a passing name
    "after-file",  # under its own name
    "before-row",  # all files of a job, no row of them
    "after-row",  # the rows are written, not committed
    "after-finish",
    "after-fail",
    "after-cancel",
    "after-crash",  # a dead worker's jobs are put back
    "after-upload",  # a picture for a job that is not accepted yet
    "after-import",
    "after-delete",  # the row is gone, the file is there
    "mid-recover",  # the rows are right again, the files not yet
)
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_FILE = re.compile(rf"({_ID.pattern})\.png({re.escape(PART)})?")
SIDES = (128, 256, 512)  # of thumbnails, pixels: few, so that asking cannot fill the disk
_WAIT = 10.0  # seconds for another process's transaction


class NotFound(BadInput):
    """No job or picture of that id."""


def new_id() -> str:
    """26 letters and digits, the later one the greater: 48 bits of time, 82 of chance."""
    number = int(time.time() * 1000) % 2**48 << 82 | secrets.randbits(82)
    return "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(26)))


def is_id(text: object) -> bool:
    """Whether it has the form of what new_id gives; nothing else ever becomes a file's name."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def data_folder() -> Path:
    """Where the studio keeps what it has when nothing else is said: $LIMNER_DATA, else
    ~/.local/share/limner, or as XDG_DATA_HOME says."""
    share = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return Path(os.environ.get("LIMNER_DATA") or share / "limner").expanduser()


class Store:
    """Opens a data folder, and makes it where there is none. Raises BadInput, NoSpace.

    at:  called with each of POINTS as it is passed
    """

    def __init__(self, folder: str | Path, at: Callable[[str], None] = lambda point: None) -> None:
        self.folder = Path(folder).absolute()
        self.at = at
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self.pictures, self.uploads, self.thumbs = (
            self.folder / name for name in ("pictures", "uploads", "thumbs")
        )
        try:
            with full_disk_told(self.folder):
                for part in (self.folder, self.pictures, self.uploads, self.thumbs):
                    part.mkdir(0o700, parents=True, exist_ok=True)
                self._prepare()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadInput(
                f"cannot use the data folder {str(self.folder)!r}: {reason}; give another (--data)"
            ) from None

    def _prepare(self) -> None:
        connection = self.connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise BadInput(
                f"the data folder {str(self.folder)!r} was written by a newer limner: use that one"
            )
        if version == 0:
            if any(_FILE.fullmatch(file.name) for file in self.pictures.iterdir()):
                raise BadInput(
                    f"the data folder {str(self.folder)!r} holds pictures and no studio.sqlite of "
                    "them: put it back, or import them into another (limner gallery import)"
                )
            with self.transaction() as opened:
                if opened.execute("PRAGMA user_version").fetchone()[0] == 0:
                    tables(opened)

    # ---- the database ------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """This thread's own."""
        thread = threading.current_thread()
        with self._lock:
            if thread not in self._connections:
                self._forget_ended()
                self._connections[thread] = self._connect()
            return self._connections[thread]

    def _connect(self) -> sqlite3.Connection:
        # Closing is another thread's at times; no two ever run a statement on the same one.
        connection = sqlite3.connect(
            self.folder / "studio.sqlite", _WAIT, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _forget_ended(self) -> None:
        for thread in [each for each in self._connections if not each.is_alive()]:
            self._connections.pop(thread).close()

    def read(self, statement: str, values: Any = ()) -> list[sqlite3.Row]:
        """The rows of one SELECT."""
        with full_disk_told(self.folder):  # a reader, too, needs room for the log's index
            return self.connection().execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Writes: all that is executed in it, on disk at its end, or nothing."""
        connection = self.connection()
        with full_disk_told(self.folder):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # sqlite has rolled some failures back by itself
                    connection.execute("ROLLBACK")
                raise

    # ---- files -------------------------------------------------------------------------------

    def picture(self, id: str) -> Path:
        """The file of a picture. Raises NotFound for what is no id."""
        if not is_id(id):
            raise NotFound("no such picture")
        return self.pictures / f"{id}.png"

    def thumb(self, id: str, side: int) -> Path:
        """Where its thumbnail of this bound is kept, once it is made. Raises NotFound."""
        return self.thumbs / f"{self.picture(id).stem}-{side}.webp"

    def write_pictures(self, files: Mapping[str, bytes]) -> None:
        """PNGs by id, all or none, before the rows that name them."""
        named = {self.picture(id).name: data for id, data in files.items()}
        write_files(self.pictures, named, self.at)

    def remove_pictures(self, ids: list[str]) -> None:
        """Their files and thumbnails, where there are any."""
        for id in ids:
            for file in (self.picture(id), *(self.thumb(id, side) for side in SIDES)):
                with suppress(OSError):
                    file.unlink()

    def remove_unnamed(self, ids: list[str]) -> None:
        """The files of those without a row. An error at the end of a transaction does not tell
        whether it is on disk; where that cannot be seen now, the next start's sweep decides."""
        with suppress(sqlite3.Error, NoSpace):
            find = "SELECT 1 FROM pictures WHERE id = ?"
            self.remove_pictures([id for id in ids if not self.read(find, (id,))])

    def write_upload(self, png: bytes) -> str:
        """A picture that a job is given, as PNG: gives its name among the uploads."""
        name = f"{new_id()}.png"
        write_files(self.uploads, {name: png}, self.at)
        self.at("after-upload")
        return name

    def upload(self, name: str) -> Path:
        """The file of an upload. Raises NotFound."""
        if not (isinstance(name, str) and is_id(name.removesuffix(".png"))):
            raise NotFound("no such upload")
        return self.uploads / f"{name.removesuffix('.png')}.png"

    def sweep(self) -> None:
        """Removes files without a row: what a kill left. Nothing of another name is touched.

        Who brings a picture in from another process writes its file within a transaction, and so
        does this look for them in one."""
        with self.transaction() as opened:
            pictures = {id for (id,) in opened.execute("SELECT id FROM pictures")}
            said = opened.execute("SELECT arguments FROM jobs")
            uploads = {id for (text,) in said for id in _ID.findall(text)}
            for folder, known in ((self.pictures, pictures), (self.uploads, uploads)):
                for file in folder.iterdir():
                    found = _FILE.fullmatch(file.name)
                    if found and (found[2] or found[1] not in known):
                        file.unlink(missing_ok=True)
            for file in self.thumbs.glob(f"*{PART}"):
                file.unlink(missing_ok=True)

    # ---- the whole ---------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder: a second server on it gets BadInput. A kill lets it go."""
        with open(self.folder / "lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadInput(
                    f"another limner serves the data folder {str(self.folder)!r}: stop it, or "
                    "give another folder (--data)"
                ) from None
            yield

    def close(self) -> None:
        """Closes the connections of all threads; none of them may be at work any more."""
        with self._lock:
            while self._connections:
                self._connections.popitem()[1].close()
