"""Shards: tar files as the webdataset library writes and img2dataset fills them.

`000017.jpg` and `000017.txt` (or `.json` with a key `caption` or `text`), one after the other, are
one sample. The archive is read where it lies: members are found by their place, never unpacked.
"""

from __future__ import annotations

import glob
import itertools
import json
import math
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from limner.data._decode import captions_in
from limner.data._listed import MAX_BYTES, Item, Listed, read_bytes
from limner.errors import BadInput
from limner.picture import FORMATS

__all__ = ["expand", "shards"]

BLOCK = 512  # bytes; a tar file is a row of these
PICTURES = tuple(suffix[1:] for suffix in FORMATS)
TEXTS = ("txt", "json")  # the first that is there
MAX_TEXT = 2**20  # bytes
MAX_SHARDS = 100_000

Members = dict[str, tuple[int, int]]  # extension → (offset, length) in the shard


def shards(pattern: str | Path, size: int, *, skip_broken: bool = False) -> Listed:
    """Samples of one shard or many, in the order of the shards' names and of their members.

    `pattern`: a `.tar`, a folder of them, or several: `a-{0000..0031}.tar`, `{a,b}.tar`, `*.tar`.

    Raises BadInput naming shard and member; with skip_broken, samples without picture or caption
    are left out instead (`.broken` names them), and only what is no proper archive is an error.
    """
    items: list[Item] = []
    broken: list[str] = []
    for shard in expand(pattern):
        for key, members in _samples(shard):
            try:
                items += _items(shard, key, members)
            except BadInput as error:
                if not skip_broken:
                    raise
                broken.append(str(error))
    if not items:
        raise BadInput(
            f"no captioned picture in {str(pattern)!r}: expected members like 1.jpg with 1.txt"
        )
    return Listed(items, size, skip_broken=skip_broken, broken=broken)


def expand(pattern: str | Path) -> list[Path]:
    """The shards that a pattern means, each of which exists; else BadInput.

    >>> expand("cats-{08..10}.tar")  # doctest: +SKIP
    [Path("cats-08.tar"), Path("cats-09.tar"), Path("cats-10.tar")]
    """
    text = str(pattern)
    if "://" in text or text.startswith("pipe:"):
        raise BadInput(f"{text!r} is an address: shards are read from disk; download them first")
    if Path(text).is_dir():
        files = sorted(Path(text).glob("*.tar"))
    elif Path(text).exists():
        files = [Path(text)]
    else:
        names = _braces(text)
        found = (sorted(glob.glob(name)) if glob.has_magic(name) else [name] for name in names)
        files = [Path(name) for name in itertools.chain.from_iterable(found)]
    if not files:
        raise BadInput(f"no file matches {str(pattern)!r}: give .tar files")
    for file in files:
        if not file.is_file():
            raise BadInput(f"there is no shard {str(file)!r}, which {str(pattern)!r} asks for")
    return files


def _braces(text: str) -> list[str]:
    """The shell's {a,b} and {08..10}, leading zeros kept; no braces within braces."""
    pieces = re.split(r"\{([^{}]*)\}", text)  # plain, group, plain, …
    choices = [_choices(piece) if i % 2 else [piece] for i, piece in enumerate(pieces)]
    if math.prod(map(len, choices)) > MAX_SHARDS:
        raise BadInput(f"{text!r} means more than {MAX_SHARDS:,} shards: give fewer at a time")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _choices(group: str) -> list[str]:
    numbers = re.fullmatch(r"([0-9]{1,18})\.\.([0-9]{1,18})", group)
    if not numbers:
        return group.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if not 0 <= last - first < MAX_SHARDS:
        raise BadInput(f"{{{group}}} does not count upward to at most {MAX_SHARDS:,} shards")
    return [f"{i:0{len(numbers[1])}}" for i in range(first, last + 1)]


def _samples(shard: Path) -> Iterator[tuple[str, Members]]:
    """Neighbours of one key: everything up to the first dot of the file's name."""
    for key, members in itertools.groupby(_members(shard), key=lambda member: member[0]):
        sample: Members = {}
        for _, extension, place in members:
            if extension in sample:
                raise BadInput(
                    f"{shard}: {key}.{extension} is there twice: each sample needs a key"
                )
            sample[extension] = place
        yield key, sample


def _members(shard: Path) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """(key, extension, place) of the regular files; BadInput for what no data set needs."""
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                complaint = _complaint(member, name)
                if complaint:
                    raise BadInput(f"{shard}: member {member.name!r} {complaint}")
                if member.isdir() or name.name.startswith((".", "__")):
                    continue
                stem, _, extension = name.name.partition(".")
                place = (member.offset_data, member.size)
                yield str(name.parent / stem), extension.lower(), place
            end = archive.offset
        with open(shard, "rb") as file:
            file.seek(end)
            if any(file.read(BLOCK)):
                raise tarfile.ReadError(f"no header at byte {end:,}")
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise BadInput(
            f"{str(shard)!r} is no plain tar file, or a damaged one ({error}): "
            "unpack what is compressed, fetch anew what is damaged"
        ) from None


def _complaint(member: tarfile.TarInfo, name: PurePosixPath) -> str:
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        return "has a name that leads out of the archive: make the archive anew"
    if not (member.isreg() or member.isdir()) or member.issparse():
        return "is a link, device or sparse file: only plain files are read"
    if member.size < 0:  # older Pythons would walk backwards from it for ever (CVE-2025-8194)
        return "has a negative size: fetch the shard anew"
    return ""


def _items(shard: Path, key: str, members: Members) -> list[Item]:
    picture = next((extension for extension in PICTURES if extension in members), None)
    text = next((extension for extension in TEXTS if extension in members), None)
    if picture is None or text is None:
        lacks = "caption (.txt, .json)" if picture else f"picture (.{', .'.join(PICTURES)})"
        raise BadInput(f"{shard}: sample {key!r} has no {lacks}, only {', '.join(members)}")
    if members[text][1] > MAX_TEXT or members[picture][1] > MAX_BYTES:
        raise BadInput(f"{shard}: sample {key!r} is too large for a picture and its caption")
    where = f"{shard}: {key}.{text}"
    content = read_bytes(Item(where, "", shard, *members[text]))
    captions = captions_in(_in_json(content, where) if text == "json" else content, where)
    name = f"{shard}: {key}.{picture}"
    return [Item(name, caption, shard, *members[picture]) for caption in captions]


def _in_json(content: bytes, where: str) -> str:
    try:
        row = json.loads(content)
        caption = row.get("caption") or row.get("text")
    except (ValueError, RecursionError, AttributeError):
        caption = None
    if not isinstance(caption, str):
        raise BadInput(f'{where} has no caption: expected {{"caption": "…"}}')
    return caption
