"""A full disk at every write: NoSpace, nothing partial, and on it goes once there is room.

With leave to mount, each write meets a real small disk, filled to the last byte; without, only the
files' and the growing database's are tried, by what the operating system and sqlite say then.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from limner.models.clip import open_clip
from limner.picture import Picture
from limner.studio.gallery import Gallery
from limner.studio.queue import Made, Queue
from limner.studio.store import NoSpace, Store

PICTURE = Picture(torch.rand(3, 64, 64), {"task": "generate", "arguments": {"prompt": "a cat"}})
FOREIGN = Picture(torch.rand(3, 64, 64)).bytes()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of 3 MiB, empty at first."""
    place = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no leave to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            for size in (65536, 512, 1):
                while file.write(b"\0" * size) == size:
                    pass
        except OSError as error:
            assert error.errno == errno.ENOSPC


def studio(folder: Path) -> SimpleNamespace:
    """Jobs in every state that a write begins from, and two pictures."""
    store = Store(folder)
    queue, gallery = Queue(store), Gallery(store, open_clip("embedded"))
    failed, done, running, waiting = (queue.accept("generate", {"n": n}) for n in range(4))
    queue.lease("zero")
    queue.fail(failed.id, "zero", "error", "no")
    queue.lease("one")
    queue.finish(done.id, "one", [Made(PICTURE, 1.0)] * 2)
    queue.lease("two")
    return SimpleNamespace(
        store=store, queue=queue, gallery=gallery, failed=failed.id, running=running.id,
        waiting=waiting.id, picture=queue.get(done.id).pictures[0],
    )  # fmt: skip


def seen(at: SimpleNamespace) -> object:
    """All that a reader can see of jobs, pictures and files."""
    store = at.store
    tables = ("jobs", "pictures", "collections", "embeddings")
    rows = [[tuple(row) for row in store.read(f"SELECT * FROM {table}")] for table in tables]
    folders = (store.pictures, store.uploads, store.thumbs)
    return rows, [sorted((f.name, f.stat().st_size) for f in each.iterdir()) for each in folders]


WRITES: dict[str, Callable[[SimpleNamespace], object]] = {
    "accept": lambda at: at.queue.accept("generate", {"prompt": "a dog"}),
    "lease": lambda at: at.queue.lease("three"),
    "finish": lambda at: at.queue.finish(at.running, "two", [Made(PICTURE, 1.0)] * 2),
    "finish without pictures": lambda at: at.queue.finish(at.running, "two", []),
    "fail": lambda at: at.queue.fail(at.running, "two", "error", "no"),
    "cancel": lambda at: at.queue.cancel(at.running),
    "cancelled": lambda at: at.queue.cancelled(at.running, "two"),
    "crashed": lambda at: at.queue.crashed("two"),
    "release": lambda at: at.queue.release("two"),
    "recover": lambda at: at.queue.recover(),
    "retry": lambda at: at.queue.retry(at.failed),
    "upload": lambda at: at.store.write_upload(FOREIGN),
    "bring": lambda at: at.gallery.bring(FOREIGN, "a.png"),
    "favourite": lambda at: at.gallery.favourite(at.picture),
    "collect": lambda at: at.gallery.collect(at.picture, "best"),
    "delete": lambda at: at.gallery.delete(at.picture),
    "embed": lambda at: at.gallery.embed_missing(),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_on_a_full_disk_is_refused_whole_and_works_with_room(disk, write):
    (disk / "filler").unlink(missing_ok=True)
    at = studio(disk / write.replace(" ", "-"))
    try:
        at.store.read("PRAGMA wal_checkpoint(TRUNCATE)")  # else its old pages are written again
        before = seen(at)
        fill(disk)
        for _ in range(2):
            with pytest.raises(NoSpace, match="make room"):
                WRITES[write](at)
            assert seen(at) == before
        (disk / "filler").unlink()
        WRITES[write](at)
        assert seen(at) != before
        assert at.store.read("PRAGMA integrity_check")[0][0] == "ok"
    finally:
        at.store.close()
        subprocess.run(["rm", "-rf", str(at.store.folder)], check=True)


def test_reading_goes_on_while_the_disk_is_full(disk):
    (disk / "filler").unlink(missing_ok=True)
    at = studio(disk / "reading")
    at.gallery.embed_missing()
    fill(disk)
    assert at.gallery.thumbnail(at.picture) and not list(at.store.thumbs.iterdir())
    assert at.gallery.export(at.picture) and len(at.gallery.search("a cat")) == 2
    assert at.queue.get(at.running).state == "running" and at.queue.counts()["queued"] == 1


def test_a_folder_that_cannot_be_made_for_want_of_room_can_be_made_later(disk):
    fill(disk)
    with pytest.raises(NoSpace):
        Store(disk / "new")
    (disk / "filler").unlink()
    assert Queue(Store(disk / "new")).accept("generate", {}).state == "queued"


# ---- without a small disk --------------------------------------------------------------------


def test_a_database_that_may_not_grow(tmp_path):
    at = studio(tmp_path / "data")
    before = seen(at)
    pages = at.store.read("PRAGMA page_count")[0][0]
    at.store.read(f"PRAGMA max_page_count = {pages}")
    long = Picture(PICTURE.pixels, {"task": "generate", "arguments": {"prompt": "x" * 30_000}})
    for call in (
        lambda: at.queue.accept("generate", {"prompt": "x" * 30_000}),
        lambda: at.queue.finish(at.running, "two", [Made(long, 1.0)]),
        lambda: at.gallery.bring(long.bytes(), "a.png"),
    ):
        with pytest.raises(NoSpace):
            call()
        assert seen(at) == before
        at.store.read("PRAGMA max_page_count = 1000000")
        call()
        before = seen(at)
        pages = at.store.read("PRAGMA page_count")[0][0]
        at.store.read(f"PRAGMA max_page_count = {pages}")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("write", ["finish", "upload", "bring"])
def test_files_that_find_no_room(tmp_path, monkeypatch, call, code, write):
    at = studio(tmp_path / "data")
    before, real = seen(at), getattr(os, call)
    for good in range(2):  # the first or the second file or folder
        done = []

        def full(*said: object, good: int = good, done: list[int] = done) -> object:
            done.append(1)
            if len(done) > good:
                raise OSError(code, os.strerror(code))
            return real(*said)

        if write != "finish" and call == "replace" and good:
            continue  # a single file
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(NoSpace):
                WRITES[write](at)
        assert seen(at) == before
    WRITES[write](at)
    assert seen(at) != before
