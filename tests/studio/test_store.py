"""The data folder: ids, transactions, one server at a time, and what the sweep may touch."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from limner.errors import BadInput
from limner.studio.store import NotFound, Store, data_folder, is_id, new_id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


def test_ids_are_sortable_by_time_and_nothing_else_is_one(monkeypatch):
    assert all(is_id(new_id()) for _ in range(100)) and len({new_id() for _ in range(1000)}) == 1000
    ids = []
    for second in (0.0, 1.0, 1.7e9, 1.7e9 + 0.001, 8e9):
        monkeypatch.setattr("time.time", lambda second=second: second)
        ids.append(new_id())
    assert ids == sorted(ids)
    hostile = ["", "..", "a" * 26 + "\n", "A" * 26, "../" + "a" * 23, "é" * 26, None, 7, "i" * 26]
    assert not any(is_id(each) for each in hostile)


def test_the_folder_is_the_user_s_alone_and_the_database_syncs_each_commit(store):
    assert store.folder.stat().st_mode & 0o777 == 0o700
    said = {p: store.read(f"PRAGMA {p}")[0][0] for p in ("journal_mode", "synchronous")}
    assert said == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL
    assert store.read("PRAGMA foreign_keys")[0][0] == 1


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("LIMNER_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "limner"
    monkeypatch.setenv("LIMNER_DATA", str(tmp_path / "other"))
    assert data_folder() == tmp_path / "other"


def test_a_transaction_is_all_or_nothing_and_seen_by_every_thread(store):
    insert = "INSERT INTO collections VALUES ('name', ?)"
    store.connection().execute("PRAGMA foreign_keys = OFF")
    with pytest.raises(KeyError), store.transaction() as opened:
        opened.execute(insert, (1,))
        raise KeyError
    with store.transaction() as opened:
        opened.execute(insert, (2,))
    seen = []
    thread = threading.Thread(
        target=lambda: seen.extend(store.read("SELECT picture FROM collections"))
    )
    thread.start()
    thread.join()
    assert [row[0] for row in seen] == [2]


def test_connections_of_threads_that_ended_are_closed(store):
    for _ in range(5):
        thread = threading.Thread(target=lambda: store.read("SELECT 1"))
        thread.start()
        thread.join()
    assert len(store._connections) <= 2
    connection = store.connection()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    assert store.read("SELECT 1")[0][0] == 1  # whoever asks again is given a new one


def test_two_servers_never_share_a_folder(store):
    told = pytest.raises(BadInput, match="another limner serves")
    with store.locked(), told, Store(store.folder).locked():
        pass
    with store.locked():
        pass


def test_a_newer_database_and_none_at_all_are_told(tmp_path, store):
    store.connection().execute("PRAGMA user_version = 99")
    with pytest.raises(BadInput, match="newer limner"):
        Store(store.folder)
    (tmp_path / "lost" / "pictures").mkdir(parents=True)
    (tmp_path / "lost" / "pictures" / f"{new_id()}.png").write_bytes(b"a picture")
    with pytest.raises(BadInput, match=r"no studio\.sqlite"):
        Store(tmp_path / "lost")
    (tmp_path / "text").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot use the data folder"):
        Store(tmp_path / "text")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "studio.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match="cannot use the data folder"):
        Store(tmp_path / "broken")


def test_the_sweep_removes_what_no_row_names_and_nothing_of_another_name(store):
    lost = new_id()
    store.write_pictures({lost: b"a picture without a row"})
    named, unnamed = store.write_upload(b"one"), store.write_upload(b"two")
    with store.transaction() as opened:
        opened.execute(
            "INSERT INTO jobs (id, task, arguments, paints, state, created) "
            "VALUES (?, 'restyle', ?, 1, 'queued', 0)",
            (new_id(), f'{{"picture": "{named}"}}'),
        )
    for name in (f"{new_id()}.png.part", "holiday.png", "notes.txt"):
        (store.pictures / name).write_text("mine")
    store.sweep()
    assert {file.name for file in store.pictures.iterdir()} == {"holiday.png", "notes.txt"}
    assert store.upload(named).read_bytes() == b"one" and not store.upload(unnamed).exists()


@pytest.mark.parametrize("name", ["../studio.sqlite", "", "/etc/passwd", "a\0b", "x" * 300])
def test_no_other_name_becomes_a_path(store, name):
    with pytest.raises(NotFound):
        store.picture(name)
    with pytest.raises(NotFound):
        store.upload(name)


def test_a_file_that_cannot_be_written_whole_is_not_there(store, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        store.write_pictures({new_id(): b"one", new_id(): b"two"})
    assert list(store.pictures.iterdir()) == []
