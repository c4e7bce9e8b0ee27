"""A folder of pictures with captions: `.txt` files beside them, or a `metadata.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from limner.data._decode import captions_in
from limner.data._listed import Item, Listed
from limner.errors import BadInput
from limner.picture import FORMATS

__all__ = ["folder"]

METADATA = "metadata.jsonl"
CAPTION_KEYS = ("text", "caption", "captions")
MAX_TEXT = 2**20  # bytes of a caption's file, and of a line of metadata
HELP = f"put a .txt with its caption beside each picture, or write a {METADATA}"


def folder(path: Path, size: int, *, skip_broken: bool = False) -> Listed:
    """Pictures of a folder and its subfolders, in the order of their names.

    Either each `cat.png` has a `cat.txt` beside it, one caption a line; or, as the `datasets`
    library's imagefolder has it, a `metadata.jsonl` lists them a line each:

        {"file_name": "cats/1.png", "text": "a cat on a mat"}

    with the name relative to that file and the caption as `text`, `caption` or a list `captions`.
    Hidden files are passed over. Links are followed: they are the folder's owner's.

    Raises BadInput naming the file or line; with skip_broken, pictures without caption or file are
    left out instead (`.broken` names them), and only what makes no sense at all is an error.
    """
    found = sorted(path.rglob(METADATA))
    named = _described(path, found) if found else _side_by_side(path)
    items, broken = [], []
    for name, place, captions in named:
        if isinstance(captions, BadInput):
            if not skip_broken:
                raise captions
            broken.append(f"{name}: {captions}")
            continue
        items += [Item(name, caption, place) for caption in captions]
    if not items:
        raise BadInput(f"no captioned picture in {str(path)!r}: {HELP}")
    return Listed(items, size, skip_broken=skip_broken, broken=broken)


Named = Iterator[tuple[str, Path, list[str] | BadInput]]  # picture's name, its file, its captions


def _side_by_side(path: Path) -> Named:
    pictures = (file for file in path.rglob("*") if file.suffix.lower() in FORMATS)
    for place in sorted(pictures, key=lambda file: file.relative_to(path).as_posix()):
        hidden = any(part.startswith(".") for part in place.relative_to(path).parts)
        if hidden or not place.is_file():
            continue
        text = place.with_suffix(".txt")
        try:
            yield str(place), place, captions_in(_text(text, place), str(text))
        except BadInput as error:
            yield str(place), place, error


def _text(text: Path, picture: Path) -> bytes:
    if not text.is_file():
        raise BadInput(f"the picture {str(picture)!r} has no caption: {HELP}")
    try:
        with open(text, "rb") as file:
            content = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise BadInput(f"cannot read {str(text)!r}: {error.strerror}") from None
    if len(content) > MAX_TEXT:
        raise BadInput(f"{str(text)!r} has over {MAX_TEXT:,} bytes: that is no caption")
    return content


def _described(path: Path, found: list[Path]) -> Named:
    for metadata in found:
        try:
            with open(metadata, "rb") as file:
                number = 0
                while line := file.readline(MAX_TEXT + 1):
                    number += 1
                    if line.strip():
                        yield _row(line, metadata, f"{metadata}, line {number}")
        except OSError as error:
            raise BadInput(f"cannot read {str(metadata)!r}: {error.strerror}") from None


def _row(line: bytes, metadata: Path, where: str) -> tuple[str, Path, list[str] | BadInput]:
    try:
        if len(line) > MAX_TEXT:
            raise ValueError(f"it has over {MAX_TEXT:,} bytes")
        row = json.loads(line)
        name = row["file_name"]
        relative = PurePosixPath(name)
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(
            f'{where} is not {{"file_name": "1.png", "text": "a caption"}} ({reason}): correct it'
        ) from None
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name:
        raise BadInput(f"{where} names {name!r}, outside its folder: give a path inside it")
    place = metadata.parent / relative
    if relative.suffix.lower() not in FORMATS:
        return name, place, BadInput(f"{where}: {name!r} does not end in {', '.join(FORMATS)}")
    if not place.is_file():
        return name, place, BadInput(f"{where}: there is no file {str(place)!r}")
    text = next((row[key] for key in CAPTION_KEYS if row.get(key)), None)
    entries = [text] if isinstance(text, str) else text
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return name, place, BadInput(f"{where} has no caption: give it as text")
    try:
        return str(place), place, captions_in(entries, where)
    except BadInput as error:
        return name, place, error
