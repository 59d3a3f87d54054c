"""The database's layout, as numbered migrations. A released migration never changes; a new layout is a new one.

`run` holds what lists filter by; `run_document` what only readers of one run need; `log_head` the small hot row that every
commit of a run compares and sets. The log and the inputs have no foreign keys: they are emptied in slices (`garbage`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from flowspan.errors import PreconditionError

_V1: Final = """
CREATE TABLE incarnation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    pid INTEGER NOT NULL,
    host TEXT NOT NULL
) STRICT;
INSERT INTO incarnation VALUES (1, 0, 0, '');

CREATE TABLE input_set (
    input_set_id INTEGER PRIMARY KEY AUTOINCREMENT,
    stage_id TEXT UNIQUE
) STRICT;

CREATE TABLE input_chunk (
    input_set_id INTEGER NOT NULL,
    first_item INTEGER NOT NULL CHECK (first_item >= 0),
    item_count INTEGER NOT NULL CHECK (item_count > 0),
    data BLOB NOT NULL,
    PRIMARY KEY (input_set_id, first_item)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    run_key INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    run_id TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    flow_name TEXT,
    flow_label TEXT,
    root_run_id TEXT NOT NULL,
    parent_run_id TEXT,
    source_run_id TEXT,
    created_at_us INTEGER NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0),
    status INTEGER NOT NULL CHECK (status BETWEEN 2 AND 5),
    completed_at_us INTEGER,
    counts TEXT,
    cancel_reason TEXT,
    input_set_id INTEGER NOT NULL REFERENCES input_set (input_set_id),
    UNIQUE (namespace, run_id),
    CHECK ((status = 2) = (completed_at_us IS NULL)),
    CHECK ((status = 2) = (counts IS NULL))
) STRICT;
CREATE INDEX run_by_namespace ON run (namespace);
CREATE INDEX run_by_status ON run (namespace, status);
CREATE INDEX run_by_flow ON run (namespace, flow_id);
CREATE INDEX run_by_label ON run (namespace, flow_label) WHERE flow_label IS NOT NULL;
CREATE INDEX run_by_parent ON run (namespace, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX run_by_root ON run (namespace, root_run_id);
CREATE INDEX run_by_inputs ON run (input_set_id);
CREATE INDEX run_open ON run (run_key) WHERE status = 2;
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON run WHEN OLD.status <> 2
BEGIN
    SELECT RAISE (ABORT, 'a terminal run never changes');
END;

CREATE TABLE run_document (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    description BLOB NOT NULL,
    settings BLOB NOT NULL
) STRICT;

CREATE TABLE run_metadata (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    run_key INTEGER NOT NULL REFERENCES run (run_key) ON DELETE CASCADE,
    PRIMARY KEY (namespace, name, value, run_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_metadata_by_run ON run_metadata (run_key);

CREATE TABLE log_head (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    next_seq INTEGER NOT NULL CHECK (next_seq > 0),
    is_open INTEGER NOT NULL CHECK (is_open IN (0, 1))
) STRICT;
CREATE TRIGGER closed_log_is_final BEFORE UPDATE ON log_head WHEN OLD.is_open = 0
BEGIN
    SELECT RAISE (ABORT, 'nothing follows the last event of a run');
END;

CREATE TABLE log_row (
    run_key INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_key, last_seq),
    CHECK (first_seq BETWEEN 1 AND last_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE item_index (
    run_key INTEGER PRIMARY KEY REFERENCES run (run_key) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE request_key (
    namespace TEXT NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    run_id TEXT NOT NULL,
    expires_at_us INTEGER NOT NULL,
    is_tombstone INTEGER NOT NULL DEFAULT 0 CHECK (is_tombstone IN (0, 1)),
    UNIQUE (namespace, request_key)
) STRICT;
CREATE INDEX request_key_by_run ON request_key (namespace, run_id);
CREATE INDEX request_key_tombstone ON request_key (expires_at_us) WHERE is_tombstone = 1;

CREATE TABLE garbage (
    garbage_id INTEGER PRIMARY KEY,
    run_key INTEGER,
    input_set_id INTEGER,
    CHECK ((run_key IS NULL) <> (input_set_id IS NULL))
) STRICT;

CREATE TABLE blob_content (
    content_key INTEGER PRIMARY KEY,
    raw_sha256 BLOB NOT NULL UNIQUE CHECK (length(raw_sha256) = 32),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    data BLOB,
    file_name TEXT,
    CHECK ((data IS NULL) <> (file_name IS NULL))
) STRICT;

CREATE TABLE blob (
    blob_key INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    blob_id TEXT NOT NULL,
    blob_type TEXT NOT NULL CHECK (blob_type IN ('data', 'flow', 'binary')),
    content_key INTEGER NOT NULL REFERENCES blob_content (content_key),
    UNIQUE (namespace, blob_id)
) STRICT;
CREATE INDEX blob_by_type ON blob (namespace, blob_type);
CREATE INDEX blob_by_content ON blob (content_key);
"""

_V2: Final = "-- Large rows stand in files, with references in `log_row.data` and `input_chunk.data` (`row_files.py`)."
"""No new layout, but one that a release which knows version 1 only could not read."""

MIGRATIONS: Final[tuple[str, ...]] = (_V1, _V2)
"""Migration `n` (from 1) leads from version `n - 1` to version `n`."""

_VERSION_TABLE: Final = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT"


def schema_version(db: apsw.Connection) -> int:
    """The version of the database; 0 if it is empty. Writes nothing.

    Raises:
        PreconditionError: the database holds something, but no Flowspan schema.
    """
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "schema_version" in tables:
        return int(db.execute("SELECT coalesce(max(version), 0) FROM schema_version").get)
    if tables:
        raise PreconditionError("the database file is not Flowspan's: it has other tables; choose another directory")
    return 0


def refuse_newer(version: int, path: Path) -> None:
    """Refuse a database that a newer release has written.

    Raises:
        PreconditionError: its version is above ours.
    """
    known = len(MIGRATIONS)
    if version > known:
        raise PreconditionError(
            f"{path} has schema version {version}, this release knows versions up to {known}; install the newer release again",
            schemaVersion=version,
            knownVersion=known,
        )


def migrate(db: apsw.Connection, version: int) -> None:
    """Bring the database from `version` to the newest, each step in a transaction of its own."""
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(_VERSION_TABLE)
            db.execute(script)
            db.execute("INSERT INTO schema_version VALUES (?)", (number,))
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
