import io
import json
import random
import tarfile

import numpy as np
import pytest
from PIL import Image

from limner.data.shards import expand, shards
from limner.errors import BadInput


def png(value):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(out, "PNG")
    return out.getvalue()


def write(place, members, form=tarfile.PAX_FORMAT):
    with tarfile.open(place, "w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return place


def samples(first, count):
    for i in range(first, first + count):
        yield from ((f"{i:05d}.png", png(i)), (f"{i:05d}.txt", f"number {i}".encode()))


def values(pictures):
    return pictures[:, 0, 0, 0].tolist()


def test_agrees_with_the_webdataset_library(tmp_path):
    """Written by its TarWriter, read by its WebDataset and by ours."""
    webdataset = pytest.importorskip("webdataset")
    rng = np.random.default_rng(0)
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"s-{shard:03d}.tar")) as writer:
            for i in range(3):
                picture = rng.integers(0, 256, (8, 8, 3), np.uint8)
                caption = f"picture {i} of shard {shard}"
                writer.write({"__key__": f"part/{i}", "png": picture, "txt": caption})
    pattern = str(tmp_path / "s-{000..001}.tar")
    theirs = webdataset.WebDataset(pattern, shardshuffle=False, empty_check=False)
    theirs = list(theirs.decode("rgb8").to_tuple("png", "txt"))
    data = shards(pattern, 8)
    pictures, captions = data.batch(range(len(data)))
    assert len(data) == len(theirs) == 6
    assert captions == [caption for _, caption in theirs]
    assert np.array_equal(pictures, np.stack([picture for picture, _ in theirs]))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_and_long_names(tmp_path, form):
    long = "d" * 90 + "/" + "é" * 40
    members = [(f"{long}.png", png(5)), (f"{long}.txt", b"far away"), *samples(1, 1)]
    data = shards(write(tmp_path / "a.tar", members, form), 8)
    pictures, captions = data.batch([1, 0])
    assert values(pictures) == [1, 5] and captions == ["number 1", "far away"]


def test_a_key_is_the_whole_path_up_to_the_first_dot(tmp_path):
    members = [(f"{at}/1.b.{end}", png(3)) for at in "ab" for end in ("png", "txt")]
    members += [
        (f"{at}.x/1.{end}", b"caption" if end == "txt" else png(1))
        for at in "ab"
        for end in ("png", "txt")
    ]
    data = shards(write(tmp_path / "a.tar", members), 8, skip_broken=True)
    assert len(data) == 2 and values(data.batch([0, 1])[0]) == [1, 1]


def test_what_other_programs_put_beside_is_passed_over(tmp_path):
    row = json.dumps({"caption": "from json", "url": "x"}).encode()
    members = [
        ("./._1.png", b"of a Mac"),
        ("./1.seg.png", png(99)),
        ("./1.jpeg", png(1)),
        ("./1.json", row),
        ("./1.cls", b"3"),
        ("./2.PNG", png(2)),
        ("./2.json", row),
        ("./2.txt", b"text before json\nand another"),
        ("__index__.json", b"{}"),
    ]
    data = shards(write(tmp_path / "a.tar", members), 8)
    pictures, captions = data.batch(range(3))
    assert values(pictures) == [1, 2, 2]
    assert captions == ["from json", "text before json", "and another"]


def test_patterns(tmp_path):
    for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b.tar"):
        write(tmp_path / name, samples(0, 1))
    at = f"{tmp_path}/"

    def found(pattern):
        return [file.name for file in expand(pattern)]

    assert found(at + "a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert found(at + "{b,a-08}.tar") == ["b.tar", "a-08.tar"]
    assert found(at + "a-{0}{9,8}.tar") == ["a-09.tar", "a-08.tar"]
    assert found(at + "a*.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert found(tmp_path) == ["a-08.tar", "a-09.tar", "a-10.tar", "b.tar"]
    odd = tmp_path / "odd[1]{2}"
    odd.mkdir()
    write(odd / "c.tar", samples(0, 1))
    assert found(odd) == found(odd / "c.tar") == ["c.tar"]
    for pattern, complaint in (
        (at + "a-{08..11}.tar", "no shard .*a-11.tar"),
        (at + "c*.tar", "no file matches"),
        (at + "{0..99999999999}.tar", "does not count upward"),
        (at + "{9..1}.tar", "does not count upward"),
        (at + 5 * "{0..99}" + ".tar", "more than 100,000 shards"),
        ("https://example.com/a.tar", "is an address"),
        ("pipe:cat a.tar", "is an address"),
    ):
        with pytest.raises(BadInput, match=complaint):
            expand(pattern)


@pytest.mark.parametrize("name", ["../1.png", "/etc/1.png", "a/../../1.png", "..\\1.png"])
def test_names_that_lead_out_are_refused_and_nothing_is_unpacked(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    shard = write(inside / "a.tar", [*samples(0, 1), (name, png(1)), ("1.txt", b"x")])
    for skip in (False, True):
        with pytest.raises(BadInput, match="leads out of the archive") as caught:
            shards(shard, 8, skip_broken=skip)
        assert repr(name) in str(caught.value) and "a.tar" in str(caught.value)
    assert [file.name for file in tmp_path.rglob("*")] == ["inside", "a.tar"]


def test_links_and_devices_are_refused(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        place = tmp_path / "a.tar"
        with tarfile.open(place, "w") as archive:
            info = tarfile.TarInfo("1.txt")
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
        with pytest.raises(BadInput, match=r"'1\.txt' is a link, device or sparse file"):
            shards(place, 8)


def test_incomplete_samples_are_named_or_skipped(tmp_path):
    members = [("0.png", png(0)), ("1.txt", b"alone"), ("2.png", png(2)), ("2.txt", b"whole")]
    place = write(tmp_path / "a.tar", members)
    with pytest.raises(BadInput, match=r"a\.tar: sample '0' has no caption"):
        shards(place, 8)
    data = shards(place, 8, skip_broken=True)
    assert data.batch([0])[1] == ["whole"] and len(data) == 1 and len(data.broken) == 2
    with pytest.raises(BadInput, match="no captioned picture"):
        shards(write(tmp_path / "b.tar", members[:2]), 8, skip_broken=True)
    with pytest.raises(BadInput, match=r"1\.txt is there twice"):
        shards(write(tmp_path / "c.tar", [*samples(0, 1), ("1.txt", b"a"), ("1.txt", b"b")]), 8)
    for content in (b"{}", b"[]", b"{", b'{"caption": 3}'):
        with pytest.raises(BadInput, match=r"1\.json has no caption"):
            shards(write(tmp_path / "d.tar", [("1.png", png(1)), ("1.json", content)]), 8)


def test_a_broken_picture_in_a_shard_is_named_or_skipped(tmp_path):
    members = [("0.png", b"broken"), ("0.txt", b"zero"), *samples(1, 1)]
    place = write(tmp_path / "a.tar", members)
    with pytest.raises(BadInput, match=r"a\.tar: 0\.png' is no PNG"):
        shards(place, 8).batch([0])
    assert shards(place, 8, skip_broken=True).batch([0])[1] == ["number 1"]


def test_damaged_archives_are_named(tmp_path):
    whole = write(tmp_path / "a.tar", samples(0, 6)).read_bytes()
    damaged = {
        "no archive": b"hello" * 1000,
        "empty file": b"",
        "cut in a member": whole[:700],
        "cut in a header": whole[: 1024 + 100],
        "a flipped header": whole[:2048] + b"\xff" + whole[2049:],
    }
    for name, content in damaged.items():
        place = tmp_path / f"{name}.tar"
        place.write_bytes(content)
        with pytest.raises(BadInput, match=f"{name}.tar' is no plain tar file") as caught:
            shards(place, 8, skip_broken=True)
        assert len(str(caught.value).splitlines()) == 1
    packed = tmp_path / "a.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "a.tar", "1.png")
    with pytest.raises(BadInput, match="unpack what is compressed"):
        shards(packed, 8)


def test_a_member_of_negative_size_does_not_loop(tmp_path):
    """Older Python versions walk backwards from it for ever (CVE-2025-8194)."""
    info = tarfile.TarInfo("1.png")
    info.size = -512 * 3
    header = info.tobuf(tarfile.GNU_FORMAT)
    first = write(tmp_path / "a.tar", samples(0, 1)).read_bytes()
    place = tmp_path / "b.tar"
    place.write_bytes(first[:2048] + header + bytes(2048))
    with pytest.raises(BadInput, match=r"b\.tar: member '1\.png' has a negative size"):
        shards(place, 8, skip_broken=True)


def test_mutated_archives_give_data_or_bad_input(tmp_path):
    whole = write(tmp_path / "a.tar", samples(0, 3)).read_bytes()
    rng, place = random.Random(0), tmp_path / "b.tar"
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(0, 6 * 1024)] = rng.randrange(256)
        place.write_bytes(data)
        try:
            found = shards(place, 8, skip_broken=True)
            found.batch(range(len(found)))
        except BadInput as error:
            assert len(str(error).splitlines()) == 1
