import io
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from limner.data._open import open_data
from limner.data.world import world
from limner.errors import BadInput
from limner.worlds.scenes import World


def png():
    out = io.BytesIO()
    Image.new("RGB", (9, 9), (1, 2, 3)).save(out, "PNG")
    return out.getvalue()


def a_folder(root):
    (root / "1.png").write_bytes(png())
    (root / "1.txt").write_text("a folder")
    return root


def a_folder_of_folders(root):
    (root / "cats").mkdir()
    return a_folder(root / "cats").parent


def described(root):
    a_folder_of_folders(root)
    (root / "stray.tar").write_bytes(b"not a data set")
    (root / "metadata.jsonl").write_text('{"file_name": "cats/1.png", "text": "a folder"}')
    return root


def a_shard(root):
    with tarfile.open(root / "a-0.tar", "w") as archive:
        for name, content in (("1.png", png()), ("1.txt", b"a shard")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return root / "a-0.tar"


def some_shards(root):
    a_shard(root)
    return f"{root}/a-{{0..0}}.tar"


def a_folder_of_shards(root):
    return a_shard(root).parent


def an_idx_file(root):
    for kind, array in (("images-idx3", np.zeros((1, 9, 9))), ("labels-idx1", np.zeros(1))):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = head + array.astype(np.uint8).tobytes()
        (root / f"train-{kind}-ubyte").write_bytes(content)
    (root / "classes.txt").write_text("idx")
    return root / "train-images-idx3-ubyte"


def an_idx_folder(root):
    return an_idx_file(root).parent


def a_cifar_file(root):
    (root / "data_batch_1.bin").write_bytes(bytes(3073))
    (root / "batches.meta.txt").write_text("cifar")
    return root / "data_batch_1.bin"


def a_cifar_folder(root):
    return a_cifar_file(root).parent


@pytest.mark.parametrize(
    ("make", "caption"),
    [
        (a_folder, "a folder"),
        (a_folder_of_folders, "a folder"),
        (described, "a folder"),
        (a_shard, "a shard"),
        (some_shards, "a shard"),
        (a_folder_of_shards, "a shard"),
        (an_idx_file, "a picture of an idx"),
        (an_idx_folder, "a picture of an idx"),
        (a_cifar_file, "a picture of a cifar"),
        (a_cifar_folder, "a picture of a cifar"),
    ],
)
def test_finds_out_what_it_was_given(tmp_path, make, caption):
    """And keeps the room's contract, whatever it is."""
    source = make(tmp_path)
    for given in (source, str(source)):
        data = open_data(given, size=16)
        assert len(data) == 1 and data.size == 16
        pictures, captions = data.batch([0, 0])
        assert pictures.shape == (2, 16, 16, 3) and pictures.dtype == np.uint8
        assert captions == [caption] * 2
        with pytest.raises(IndexError):
            data.batch([1])
        assert data.batch([])[0].shape == (0, 16, 16, 3)


def test_a_world_by_its_name():
    first, second = open_data("world:scenes", size=64, seed=3), open_data("world:scenes", seed=4)
    pictures, captions = first.batch([7, 8])
    assert pictures.shape == (2, 64, 64, 3) and all(captions)
    assert second.batch([7])[0].shape == (1, 128, 128, 3)
    assert np.array_equal(open_data("world:scenes", size=64, seed=3).batch([8])[0][0], pictures[1])
    with pytest.raises(BadInput, match=r"no world 'dreams': choose one of .*scenes"):
        open_data("world:dreams")


def test_a_world_takes_its_own_options():
    twins = open_data("world:scenes?twins=4&vocabulary=full", seed=3)
    assert np.array_equal(
        twins.batch([6])[0], world(World(3, vocabulary="full", twins=4), 128).batch([6])[0]
    )
    with pytest.raises(
        BadInput, match="no 'wins': it takes vocabulary, split, twins, dressed, alone"
    ):
        open_data("world:scenes?wins=4")
    with pytest.raises(BadInput, match="twins='four' of world scenes: give a whole number"):
        open_data("world:scenes?twins=four")


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "notes.md").write_text("hello")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "data_batch_1").write_bytes(b"\x80\x04")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # which is what "" names
    for source, complaint in (
        (tmp_path / "gone", "there is no .*expected world:scenes"),
        (tmp_path / "gone.tar", "there is no shard"),
        (tmp_path / "notes.md", "file of another kind"),
        (pickled, "pickled, never opened"),
        (tmp_path / "empty", "no captioned picture"),
        ("https://example.com/cats", "nothing is downloaded"),
        ("", "no captioned picture|there is no"),
        ("a" * 5000, "too long"),
        ("a\0b", "cannot open|there is no"),
        ("world:../scenes", "no world"),
        ("world:_sprites", "no world"),
    ):
        with pytest.raises(BadInput, match=complaint) as caught:
            open_data(source)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(BadInput, match="size is 0"):
        open_data("world:scenes", size=0)
