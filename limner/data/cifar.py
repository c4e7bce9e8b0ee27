"""CIFAR-10 and CIFAR-100 in their binary version (the Python version is pickled, never opened).

Format (Krizhevsky, the CIFAR page): records of one label byte (CIFAR-100: a coarse, then a fine
one) and 3,072 bytes, the red, green and blue plane of 32 by 32 pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from limner.data._labelled import Labelled, class_names
from limner.errors import BadInput

__all__ = ["cifar", "cifar_files"]

SIDE = 32
TEN, HUNDRED = "batches.meta.txt", "fine_label_names.txt"  # where the names of the classes are
MAX_BYTES = 2**31


def cifar_files(folder: Path) -> list[Path]:
    """The files of training in a folder, in order."""
    return sorted([*folder.glob("data_batch_*.bin"), *folder.glob("train.bin")])


def cifar(path: Path, size: int) -> Labelled:
    """Pictures of one `.bin`, or of the training files in a folder; BadInput naming the file."""
    files = cifar_files(path) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"no .bin file in {str(path)!r}: get the binary version of CIFAR")
    folder = files[0].parent
    labels = 2 if (folder / HUNDRED).is_file() else 1
    names = class_names(folder / (HUNDRED if labels == 2 else TEN))
    records = np.concatenate([_read(file, labels + 3 * SIDE**2) for file in files])
    planes = records[:, labels:].reshape(-1, 3, SIDE, SIDE)
    pictures = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return Labelled(pictures, records[:, labels - 1], names, size, str(path))


def _read(file: Path, record: int) -> np.ndarray:
    """uint8 (n, record)."""
    try:
        length = file.stat().st_size
        if not length or length % record or length > MAX_BYTES:
            raise BadInput(
                f"{str(file)!r} has {length:,} bytes, no whole number of records of {record:,}: "
                "get the binary version of CIFAR"
            )
        return np.fromfile(file, np.uint8).reshape(-1, record)
    except OSError as error:
        raise BadInput(f"cannot read {str(file)!r}: {error.strerror}") from None
