"""The shelf: models kept on this machine under names of their own, with their hashes.

A shelved name opens wherever a model is named. Nothing outside of the shelf is ever changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from limner.errors import BadInput
from limner.models import _folder
from limner.models._hub import Report, digest_of, fetch, offered
from limner.models._shelf import (
    FILES,
    MANIFEST,
    Held,
    Shelved,
    find,
    on_shelf,
    place_of,
    shelf_folder,
)
from limner.models.embedded import CLIPS
from limner.models.inspect import inspect

__all__ = ["Shelved", "add", "damaged", "find", "listed", "remove", "shelf_folder"]

_KINDS = (".json", ".txt", ".safetensors", ".model")
_MOST_FILES = 300
_PAGE = "README.md"  # whose head may say the licence
_LICENCE = re.compile(r"^license: *[\"']?([\w. -]{1,80})", re.MULTILINE)
_UNKNOWN = "see the model's own page"


def add(
    source: str | Path,
    name: str | None = None,
    *,
    licence: str = "",
    report: Report = lambda what, done, total: None,
) -> Shelved:
    """Puts a model on the shelf: a folder, a .safetensors file, or what the hub has by an id.

    name:     the last part of the source's when not given
    licence:  where the model itself says none
    report:   called with a file's name, the bytes that are done, and those in all

    What is here is linked where the file system can, else copied. What is fetched goes on where an
    earlier try stopped. Raises BadInput, and the shelf is as it was.
    """
    path = Path(source).expanduser()
    try:
        local = path.exists()
    except (OSError, ValueError):
        raise BadInput(f"{str(source)[:200]!r} is no model's name") from None
    if not local and not _folder.is_hub_id(source):
        raise BadInput(f"no model at {str(source)[:200]!r}: give a folder, a file or a hub id")
    name = name or (path.resolve().stem if path.is_file() else path.resolve().name)
    place = place_of(name)
    if name in CLIPS:
        raise BadInput(f"{name!r} is a model of limner's own: give another name (--as)")
    with _locked(name):
        _check_free(name)
        work = shelf_folder() / ".partial" / name
        origin, said = str(path.resolve()), ""
        if local:
            shutil.rmtree(work, ignore_errors=True)
            (work / FILES).mkdir(parents=True)
            _linked(path, work / FILES, report)
        else:
            model = offered(str(source))
            origin, said = f"{source}@{model.revision}", model.licence
            fetch(model, work / FILES, report)
            _keep_only(work / FILES, {each.path for each in model.files})
        try:
            shelved = _described(name, origin, said or licence, work / FILES)
        except BadInput:
            shutil.rmtree(work, ignore_errors=True)
            raise
        (work / MANIFEST).write_text(json.dumps(asdict(shelved), indent=1))
        work.rename(place)
    return shelved


def _check_free(name: str) -> None:
    place = place_of(name)
    if place.exists() or place.is_symlink():
        raise BadInput(
            f"{name!r} is on the shelf already: give another name (--as NAME), or first "
            f"limner models remove {name}"
        )


def _linked(source: Path, target: Path, report: Report) -> None:
    """A model's files, linked or copied; only kinds that limner reads."""
    if source.is_file():
        if source.suffix != ".safetensors":
            raise BadInput(
                f"{str(source)!r} is no safetensors file: limner convert FILE -o FOLDER, and add "
                "that folder"
            )
        files = {source.name: source}
    else:
        found = [file for file in sorted(source.rglob("*")) if _is_read(file, source)]
        files = {file.relative_to(source).as_posix(): file for file in found}
    if len(files) > _MOST_FILES:
        raise BadInput(f"{str(source)!r} holds {len(files)} files: give one model's folder")
    total, done = sum(file.stat().st_size for file in files.values()), 0
    for path, file in files.items():
        to = target / path
        to.parent.mkdir(parents=True, exist_ok=True)
        real = file.resolve()  # the hub's cache is links
        try:
            os.link(real, to)
        except OSError:  # another file system
            try:
                shutil.copyfile(real, to)
            except OSError as error:
                raise BadInput(f"cannot copy {str(file)!r}: {error.strerror}") from None
        done += file.stat().st_size
        report(path, done, total)


def _is_read(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    hidden = any(part.startswith(".") for part in parts)
    known = file.suffix in _KINDS or parts == (_PAGE,)
    return known and not hidden and len(parts) <= 3 and file.is_file()


def _keep_only(folder: Path, wanted: set[str]) -> None:
    """Without what an earlier try fetched of another revision."""
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in wanted:
            file.unlink()


def _described(name: str, origin: str, licence: str, folder: Path) -> Shelved:
    """The manifest. Raises BadInput for what is broken or asks for code."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    held = [_held(file, folder) for file in files]
    told = inspect(files[0] if len(files) == 1 else folder)
    page = folder / _PAGE
    if page.is_file():
        with open(page, encoding="utf-8", errors="replace") as opened:
            found = _LICENCE.search(opened.read(4096))
        licence = found[1].strip() if found else licence
    said = told.licence if told.licence != "see its own page" else licence or _UNKNOWN
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Shelved(name, origin, told.family, said, now, tuple(held))


def _held(file: Path, folder: Path) -> Held:
    path = file.relative_to(folder).as_posix()
    return Held(path, file.stat().st_size, digest_of(file, 64))


def listed() -> list[Shelved]:
    """All that is on the shelf, by name; what has a broken manifest has no files."""
    folder, out = shelf_folder(), []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if place.name.startswith("."):
            continue
        try:
            found = on_shelf(place.name)
        except BadInput:
            found = None
        out.append(found or Shelved(place.name, "?", "?", "?", "?", ()))
    return out


def damaged(shelved: Shelved, report: Report = lambda what, done, total: None) -> list[str]:
    """The files of a model that are not as they were when it was added, each with what is wrong."""
    folder, wrong, done = place_of(shelved.name) / FILES, [], 0
    if not shelved.files:
        return [f"{MANIFEST} cannot be read"]
    for held in shelved.files:
        file = folder / held.path
        if not file.is_file():
            wrong.append(f"{held.path} is missing")
        elif file.stat().st_size != held.size or digest_of(file, 64) != held.sha256:
            wrong.append(f"{held.path} is changed")
        done += held.size
        report(held.path, done, shelved.size)
    here = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    extra = here - {held.path for held in shelved.files}
    return wrong + [f"{path} was not added" for path in sorted(extra)]


def remove(name: str) -> None:
    """Takes a model off the shelf, or what an interrupted `add` of that name has left."""
    with _locked(name):
        places = [place_of(name), shelf_folder() / ".partial" / name]
        there = [place for place in places if place.is_dir() and not place.is_symlink()]
        if not there:
            raise BadInput(f"{name!r} is not on the shelf: limner models list tells what is")
        for place in there:
            gone = shelf_folder() / ".partial" / f".{name}.removed"
            gone.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(gone, ignore_errors=True)
            place.rename(gone)  # at once: nobody opens half of it
            shutil.rmtree(gone)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time for each name."""
    from filelock import FileLock

    place_of(name)
    locks = shelf_folder() / ".locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock")
        lock.acquire()
    except OSError as error:
        raise BadInput(f"cannot write {str(locks)!r}: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.release()
