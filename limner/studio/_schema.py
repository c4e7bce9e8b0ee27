"""The tables of the studio's database."""

from __future__ import annotations

import sqlite3

__all__ = ["SCHEMA", "VERSION", "tables"]

VERSION = 1

# `number` is the order of arrival, which a clock set back does not change. What a job keeps and the
# page does not ask for by itself is JSON.
SCHEMA = (
    """CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        arguments TEXT NOT NULL,
        shape TEXT,                     -- jobs of one shape can be painted in one pass
        paints INTEGER NOT NULL,        -- pictures
        state TEXT NOT NULL,
        cancelling INTEGER NOT NULL DEFAULT 0,
        lease TEXT,                     -- the worker that runs it
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        crashes INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        result TEXT,
        repeat TEXT UNIQUE              -- the asker's key: asked again, it is the same job
    )""",
    "CREATE INDEX jobs_by_state ON jobs (state, number)",
    "CREATE INDEX jobs_by_lease ON jobs (lease) WHERE lease IS NOT NULL",
    "CREATE INDEX jobs_by_task ON jobs (task, state, number)",
    """CREATE TABLE pictures (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        job TEXT REFERENCES jobs (id),
        place INTEGER,                  -- in its job
        task TEXT,
        prompt TEXT NOT NULL,
        folded TEXT NOT NULL,           -- the prompt without upper case, to be searched
        negative TEXT NOT NULL,
        model TEXT,
        seed INTEGER,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        created REAL NOT NULL,
        seconds REAL,
        favourite INTEGER NOT NULL DEFAULT 0,
        origin TEXT NOT NULL,
        recipe TEXT,
        elsewhere TEXT,                 -- the recipe as another tool wrote it
        source TEXT UNIQUE,             -- of what was brought in: SHA-256 of its file
        UNIQUE (job, place)
    )""",
    "CREATE INDEX pictures_by_task ON pictures (task, number)",
    "CREATE INDEX pictures_by_model ON pictures (model, number)",
    "CREATE INDEX pictures_by_time ON pictures (created)",
    "CREATE INDEX favourites ON pictures (number) WHERE favourite = 1",
    """CREATE TABLE collections (
        name TEXT NOT NULL,
        picture INTEGER NOT NULL REFERENCES pictures (number) ON DELETE CASCADE,
        PRIMARY KEY (name, picture)
    ) WITHOUT ROWID""",
    "CREATE INDEX collections_of ON collections (picture)",
    """CREATE TABLE embeddings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        picture INTEGER NOT NULL UNIQUE REFERENCES pictures (number) ON DELETE CASCADE,
        clip TEXT NOT NULL,             -- fingerprint of the network that saw it
        row BLOB NOT NULL               -- float16, of length 1
    )""",
)


def tables(connection: sqlite3.Connection) -> None:
    """Makes them, within the caller's transaction."""
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
