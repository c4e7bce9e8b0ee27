"""The idx files of MNIST and its kin: pictures and labels in two files, plain or gzipped.

Format (LeCun et al., the MNIST page): two zero bytes, the type (8: unsigned bytes), the number of
dimensions, each dimension as a big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from limner.data._labelled import Labelled, class_names
from limner.errors import BadInput

__all__ = ["idx", "idx_files"]

MAX_BYTES = 2**31  # of one file, unpacked
CLASSES = "classes.txt"


def idx_files(folder: Path) -> list[Path]:
    """The files of pictures in a folder, that of training first."""
    found = [*folder.glob("*images*idx3-ubyte"), *folder.glob("*images*idx3-ubyte.gz")]
    return sorted(found, key=lambda file: (not file.name.startswith("train"), file.name))


def idx(path: Path, size: int) -> Labelled:
    """Pictures of `…-images-idx3-ubyte[.gz]`, or of the first such file in a folder.

    The labels lie beside it in `…-labels-idx1-ubyte[.gz]`, the names of the classes in
    `classes.txt`, one a line. Raises BadInput naming the file.
    """
    if path.is_dir():
        found = idx_files(path)
        if not found:
            raise BadInput(f"no …-images-idx3-ubyte in {str(path)!r}: give such a file")
        path = found[0]
    pictures = _read(path, 3)
    named = path.name.replace("images", "labels").replace("idx3", "idx1")
    plain = named.removesuffix(".gz")
    beside = (path.with_name(name) for name in (named, plain, f"{plain}.gz"))
    labels = next((file for file in beside if file.is_file()), None)
    if labels is None:
        raise BadInput(f"the labels of {str(path)!r} are missing: expected {named!r} beside it")
    names = class_names(path.with_name(CLASSES))
    return Labelled(
        np.repeat(pictures[..., None], 3, axis=3), _read(labels, 1), names, size, str(path)
    )


def _read(file: Path, dimensions: int) -> np.ndarray:
    """uint8 of the file's own shape."""
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else open(file, "rb") as stream:
            head = stream.read(4 + 4 * dimensions)
            if head[:4] != bytes([0, 0, 8, dimensions]) or len(head) < 4 + 4 * dimensions:
                raise ValueError(f"it does not begin as an idx file of {dimensions} dimensions")
            shape = [int(n) for n in np.frombuffer(head, ">u4", offset=4)]
            count = math.prod(shape)
            if not 0 < count <= MAX_BYTES:
                raise ValueError(f"its shape is {shape}")
            values = stream.read(count)
            if len(values) != count:
                raise ValueError(f"it has {len(values):,} of {count:,} values")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BadInput(f"cannot read {str(file)!r}: {error}; fetch it anew") from None
    return np.frombuffer(values, np.uint8).reshape(shape)
