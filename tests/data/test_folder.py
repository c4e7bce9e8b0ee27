import json
import logging

import numpy as np
import pytest
from PIL import Image

from limner.data.folder import folder
from limner.errors import BadInput


def paint(place, value, size=12):
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (value, value, value)).save(place)
    return place


def beside(root, count=4):
    for i in range(count):
        paint(root / f"{i}.png", 10 * i).with_suffix(".txt").write_text(f"grey number {i}\n")
    return root


def write_rows(place, *rows):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def values(pictures):
    return pictures[:, 0, 0, 0].tolist()


def test_texts_beside_pictures(tmp_path):
    data = folder(beside(tmp_path), 8)
    pictures, captions = data.batch([2, 0, 2])
    assert len(data) == 4 and data.size == 8
    assert pictures.shape == (3, 8, 8, 3) and pictures.dtype == np.uint8
    assert values(pictures) == [20, 0, 20]
    assert captions == ["grey number 2", "grey number 0", "grey number 2"]


def test_order_is_that_of_the_names_whatever_the_disk_says(tmp_path):
    for name in ("b/2.png", "b/10.PNG", "a.png", "c.webp", "B.jpg"):
        place = paint(tmp_path / name, 0)
        place.with_suffix(".txt").write_text(name)
    paint(tmp_path / ".hidden.png", 0)
    paint(tmp_path / ".thumbnails" / "a.png", 0)
    (tmp_path / "notes.txt").write_text("no caption of anything")
    _, captions = folder(tmp_path, 8).batch(range(5))
    assert captions == ["B.jpg", "a.png", "b/10.PNG", "b/2.png", "c.webp"]


def test_each_caption_of_a_picture_is_an_item(tmp_path):
    paint(tmp_path / "1.png", 7).with_suffix(".txt").write_text("one\n\n  another \n")
    pictures, captions = folder(tmp_path, 8).batch([0, 1])
    assert captions == ["one", "another"] and values(pictures) == [7, 7]


def test_metadata_as_the_datasets_library_has_it(tmp_path):
    """Its documentation's example of an image folder, with captions in text."""
    for i, name in enumerate(("0001.png", "0002.png", "sub/0003.png")):
        paint(tmp_path / name, i)
    write_rows(
        tmp_path / "metadata.jsonl",
        {"file_name": "0002.png", "text": "This is a second value of a text feature"},
        {"file_name": "0001.png", "text": "This is a first value", "label": 3},
        {"file_name": "sub/0003.png", "caption": "in a subfolder"},
        {"file_name": "0001.png", "captions": ["said once", "said twice"]},
    )
    data = folder(tmp_path, 12)
    pictures, captions = data.batch(range(len(data)))
    assert values(pictures) == [1, 0, 2, 0, 0]
    assert captions[0] == "This is a second value of a text feature"
    assert captions[2:] == ["in a subfolder", "said once", "said twice"]


def test_metadata_of_subfolders_names_their_files(tmp_path):
    for split in ("test", "train"):
        paint(tmp_path / split / "1.png", 9)
        write_rows(tmp_path / split / "metadata.jsonl", {"file_name": "1.png", "text": split})
    assert folder(tmp_path, 8).batch([0, 1])[1] == ["test", "train"]


def test_a_folder_without_captioned_pictures_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match=r"no captioned picture in .*metadata\.jsonl"):
        folder(tmp_path, 8)
    paint(tmp_path / "1.png", 0)
    with pytest.raises(BadInput, match=r"1\.png' has no caption: put a \.txt"):
        folder(tmp_path, 8)
    with pytest.raises(BadInput, match="no captioned picture"):
        folder(tmp_path, 8, skip_broken=True)


def test_an_empty_or_huge_caption_is_named(tmp_path):
    paint(tmp_path / "1.png", 0).with_suffix(".txt").write_text(" ")
    with pytest.raises(BadInput, match=r"1\.txt' is empty"):
        folder(tmp_path, 8)
    (tmp_path / "1.txt").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(BadInput, match="that is no caption"):
        folder(tmp_path, 8)


def test_a_broken_picture_is_named_when_it_is_asked_for(tmp_path):
    data = folder(beside(tmp_path), 8)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    assert values(data.batch([0, 2])[0]) == [0, 20]
    with pytest.raises(BadInput, match=r"1\.png' is no PNG"):
        data.batch([0, 1])
    (tmp_path / "2.png").unlink()
    with pytest.raises(BadInput, match=r"2\.png': No such file"):
        data.batch([2])


def test_skipping_gives_the_next_whole_picture_and_says_so_once(tmp_path, caplog):
    beside(tmp_path)
    for i in (1, 2):
        (tmp_path / f"{i}.png").write_bytes(b"broken")
    data = folder(tmp_path, 8, skip_broken=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            pictures, captions = data.batch([1, 3, 2])
            assert captions == ["grey number 3"] * 3 and values(pictures) == [30] * 3
    assert len(data) == 4
    assert data.broken == {str(tmp_path / "1.png"), str(tmp_path / "2.png")}
    assert sum("1.png" in message for message in caplog.messages) == 1


def test_after_the_last_picture_comes_the_first(tmp_path):
    (beside(tmp_path) / "3.png").write_bytes(b"broken")
    assert folder(tmp_path, 8, skip_broken=True).batch([3])[1] == ["grey number 0"]


def test_skipping_leaves_out_what_has_no_caption_or_file(tmp_path):
    beside(tmp_path)
    (tmp_path / "1.txt").unlink()
    data = folder(tmp_path, 8, skip_broken=True)
    assert len(data) == 3 and len(data.broken) == 1
    write_rows(
        tmp_path / "metadata.jsonl",
        {"file_name": "0.png", "text": "here"},
        {"file_name": "gone.png", "text": "gone"},
        {"file_name": "2.png"},
        {"file_name": "3.gif", "text": "not a kind we read"},
    )
    data = folder(tmp_path, 8, skip_broken=True)
    assert len(data) == 1 and len(data.broken) == 3


def test_when_nothing_is_whole_it_says_so(tmp_path):
    beside(tmp_path, 2)
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(b"broken")
    with pytest.raises(BadInput, match="none of the 2 pictures can be read"):
        folder(tmp_path, 8, skip_broken=True).batch([0])


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "line 2 is not"),
        ("[1]", "line 2 is not"),
        ('{"text": "x"}', "no 'file_name'"),
        ('{"file_name": 3, "text": "x"}', "line 2 is not"),
        ('{"file_name": "../0.png", "text": "x"}', "outside its folder"),
        ('{"file_name": "/etc/0.png", "text": "x"}', "outside its folder"),
        ('{"file_name": "a\\\\..\\\\0.png", "text": "x"}', "outside its folder"),
        ('{"file_name": "gone.png", "text": "x"}', "line 2: there is no file"),
        ('{"file_name": "0.gif", "text": "x"}', "does not end in"),
        ('{"file_name": "0.png"}', "has no caption"),
        ('{"file_name": "0.png", "text": 3}', "has no caption"),
        ('{"file_name": "0.png", "text": "\\ud83d"}', "half a character"),
        ('{"file_name": "' + 400 * "a" + '.png", "text": "x"}', "too long"),
        ("[" * 100_000, "line 2 is not"),
        ("x" * (2**20 + 1), "line 2 is not"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, complaint):
    beside(tmp_path, 1)
    good = '{"file_name": "0.png", "text": "good"}'
    (tmp_path / "metadata.jsonl").write_text(f"{good}\n{row}\n")
    with pytest.raises(BadInput, match=complaint) as caught:
        folder(tmp_path, 8)
    assert len(str(caught.value).splitlines()) == 1


def test_an_index_beyond_the_end_is_an_error(tmp_path):
    with pytest.raises(IndexError):
        folder(beside(tmp_path), 8).batch([4])


def test_an_empty_batch_has_the_shape_of_one(tmp_path):
    pictures, captions = folder(beside(tmp_path), 8).batch([])
    assert pictures.shape == (0, 8, 8, 3) and captions == []
