import gzip
import struct

import numpy as np
import pytest

from limner.data.idx import idx
from limner.errors import BadInput

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.uint8([2, 0, 1, 1, 2])
NAMES = "cat\nape\ndog"


def packed(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write(root, name="train", suffix=".gz", pictures=PICTURES, labels=LABELS, classes=NAMES):
    pack = gzip.compress if suffix else bytes
    (root / f"{name}-images-idx3-ubyte{suffix}").write_bytes(pack(packed(pictures)))
    (root / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(pack(packed(labels)))
    if classes:
        (root / "classes.txt").write_text(classes)
    return root / f"{name}-images-idx3-ubyte{suffix}"


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_pictures_and_captions_from_labels(tmp_path, suffix):
    data = idx(write(tmp_path, suffix=suffix), 28)
    pictures, captions = data.batch([3, 0])
    assert len(data) == 5 and data.size == 28
    assert np.array_equal(pictures, PICTURES[[3, 0], ..., None].repeat(3, axis=3))
    assert captions == ["a picture of an ape", "a picture of a dog"]
    assert data.batch([1, 2])[1] == ["a small picture of a cat", "an ape"]
    assert idx(tmp_path, 14).batch([0])[0].shape == (1, 14, 14, 3)


def test_a_folder_means_its_training_pictures(tmp_path):
    write(tmp_path, "t10k", pictures=PICTURES[:1], labels=LABELS[:1])
    assert len(idx(tmp_path, 28)) == 1
    write(tmp_path, "train")
    assert len(idx(tmp_path, 28)) == 5
    assert len(idx(tmp_path / "t10k-images-idx3-ubyte.gz", 28)) == 1


def test_what_is_missing_or_wrong_is_named(tmp_path):
    with pytest.raises(BadInput, match="no …-images-idx3-ubyte"):
        idx(tmp_path, 28)
    place = write(tmp_path, classes=None)
    with pytest.raises(BadInput, match=r"classes\.txt': write the classes there"):
        idx(place, 28)
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(BadInput, match="is empty"):
        idx(place, 28)
    write(tmp_path, classes="cat\nape")
    with pytest.raises(BadInput, match="label 2, but only 2 class names"):
        idx(place, 28)
    write(tmp_path, labels=LABELS[:4])
    with pytest.raises(BadInput, match="5 pictures, 4 labels"):
        idx(place, 28)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(BadInput, match=r"the labels of .* are missing"):
        idx(place, 28)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        packed(PICTURES)[:-1],
        packed(LABELS),
        bytes([0, 0, 13, 3]) + packed(PICTURES)[4:],
        bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31),
        bytes([0, 0, 8, 3]) + struct.pack(">3I", 0, 28, 28),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content):
    place = write(tmp_path)
    for broken in (gzip.compress(content), content, gzip.compress(content)[:-9]):
        place.write_bytes(broken)
        with pytest.raises(BadInput, match=r"train-images-idx3-ubyte\.gz"):
            idx(place, 28)
