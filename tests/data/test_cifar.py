import numpy as np
import pytest

from limner.data.cifar import cifar
from limner.errors import BadInput

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)


def records(*labels):
    """A label or two, then the planes, as the CIFAR page describes them."""
    return b"".join(
        bytes(label) + picture.transpose(2, 0, 1).tobytes()
        for label, picture in zip(labels, PICTURES, strict=True)
    )


def write_ten(root):
    (root / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    (root / "data_batch_1.bin").write_bytes(records((0,), (1,), (2,), (0,)))
    (root / "data_batch_2.bin").write_bytes(records((1,), (1,), (1,), (1,)))
    (root / "test_batch.bin").write_bytes(records((2,), (2,), (2,), (2,)))
    return root


def test_ten(tmp_path):
    data = cifar(write_ten(tmp_path), 32)
    pictures, captions = data.batch([0, 2, 3, 6])
    assert len(data) == 8
    assert np.array_equal(pictures, PICTURES[[0, 2, 3, 2]])
    assert captions == ["a picture of an airplane", "a bird", *captions[2:]]
    assert captions[2:] == ["a picture of an airplane", "a picture of an automobile"]
    test = cifar(tmp_path / "test_batch.bin", 16)
    assert len(test) == 4 and test.batch([0])[1] == ["a picture of a bird"]
    assert test.batch([0])[0].shape == (1, 16, 16, 3)


def test_hundred_takes_the_fine_label(tmp_path):
    (tmp_path / "fine_label_names.txt").write_text("apple\naquarium_fish\n")
    (tmp_path / "train.bin").write_bytes(records((1, 0), (0, 1), (1, 1), (1, 0)))
    data = cifar(tmp_path, 32)
    pictures, captions = data.batch([0, 1, 2])
    assert np.array_equal(pictures, PICTURES[:3])
    assert captions[0] == "a picture of an apple" and captions[2] == "an aquarium fish"


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no \.bin file"):
        cifar(tmp_path, 32)
    write_ten(tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(b"x" * 3074)
    with pytest.raises(BadInput, match=r"data_batch_2\.bin' has 3,074 bytes"):
        cifar(tmp_path, 32)
    (tmp_path / "data_batch_2.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"data_batch_2\.bin' has 0 bytes"):
        cifar(tmp_path, 32)
    (tmp_path / "data_batch_2.bin").write_bytes(records((9,), (1,), (1,), (1,)))
    with pytest.raises(BadInput, match="label 9, but only 3 class names"):
        cifar(tmp_path, 32)
    with pytest.raises(BadInput, match=r"gone\.bin"):
        cifar(tmp_path / "gone.bin", 32)
