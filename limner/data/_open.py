"""From what a user writes after --data to captioned pictures."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from limner._rooms import names
from limner.data import CaptionedPictures
from limner.data.cifar import cifar, cifar_files
from limner.data.folder import METADATA, folder
from limner.data.idx import idx, idx_files
from limner.data.shards import shards
from limner.data.world import world
from limner.errors import BadInput
from limner.picture import FORMATS

__all__ = ["open_data"]

SIZES = range(8, 4097)  # pixels
EXPECTED = "world:scenes, a folder of captioned pictures, .tar shards, or an idx or CIFAR file"


def open_data(
    source: str | Path,
    *,
    size: int = 128,
    seed: int = 0,
    skip_broken: bool = False,
) -> CaptionedPictures:
    """Captioned pictures of size² pixels from:

    `world:NAME`                     drawn on the fly, in any number; seed says which world.
                                     `world:scenes?twins=4&vocabulary=full` sets what it takes
    FOLDER                           pictures with .txt captions, or a metadata.jsonl (folder.py)
    `a.tar`, `a-{000..099}.tar`, …   webdataset shards, or a folder of them (shards.py)
    FILE or FOLDER                   …-images-idx3-ubyte[.gz] (idx.py), binary CIFAR (cifar.py)

    Names are listed and captions read at once, pictures when they are asked for. A broken picture
    is an error that names it; with skip_broken it gives way to the next.
    Raises BadInput when the source is none of these, is missing, is empty or makes no sense.
    """
    text = str(source)
    if size not in SIZES:
        raise BadInput(f"size is {size}: expected {SIZES[0]} to {SIZES[-1]} pixels")
    if text.startswith("world:"):
        return _open_world(text.removeprefix("world:"), size, seed)
    if "://" in text or text.startswith("pipe:"):
        raise BadInput(f"{text!r} is an address; nothing is downloaded here. Expected {EXPECTED}")
    path = Path(text)
    try:
        if path.is_dir():
            return _open_folder(path, size, skip_broken)
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name too long, or with a NUL byte
        raise BadInput(f"cannot open {text[:200]!r} ({error}): expected {EXPECTED}") from None
    if text.endswith((".tar", ".tar.gz", ".tgz")):
        return shards(text, size, skip_broken=skip_broken)
    if not exists:
        raise BadInput(f"there is no {text[:200]!r}: expected {EXPECTED}")
    if path.suffix == ".bin":
        return cifar(path, size)
    if "idx3-ubyte" in path.name:
        return idx(path, size)
    raise BadInput(f"{text!r} is a file of another kind: expected {EXPECTED}")


def _open_world(text: str, size: int, seed: int) -> CaptionedPictures:
    name, _, options = text.partition("?")
    if name not in names("worlds"):
        raise BadInput(f"there is no world {name!r}: choose one of {', '.join(names('worlds'))}")
    world_class = importlib.import_module(f"limner.worlds.{name}").World
    return world(world_class(seed=seed, **_options(world_class, name, options)), size)


def _options(world_class: type, name: str, text: str) -> dict[str, int | str]:
    """`twins=4&vocabulary=full` as what the world takes."""
    takes = inspect.signature(world_class).parameters
    kinds = {key: type(takes[key].default) for key in takes if key not in ("seed", "font")}
    chosen: dict[str, int | str] = {}
    for option in filter(None, text.split("&")):
        key, _, value = option.partition("=")
        if key not in kinds:
            raise BadInput(f"the world {name} has no {key!r}: it takes {', '.join(kinds)}")
        try:
            chosen[key] = kinds[key](value)
        except ValueError:
            raise BadInput(f"{key}={value!r} of world {name}: give a whole number") from None
    return chosen


def _open_folder(path: Path, size: int, skip_broken: bool) -> CaptionedPictures:
    """By what lies directly in it; pictures in subfolders are common, and so the last."""
    here = list(path.iterdir())
    if not any(file.suffix.lower() in FORMATS or file.name == METADATA for file in here):
        if idx_files(path):
            return idx(path, size)
        if cifar_files(path):
            return cifar(path, size)
        if (path / "data_batch_1").is_file():
            raise BadInput(f"{str(path)!r} is CIFAR pickled, never opened: get its binary version")
        if any(file.suffix == ".tar" for file in here):
            return shards(path, size, skip_broken=skip_broken)
    return folder(path, size, skip_broken=skip_broken)
