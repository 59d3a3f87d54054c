"""Runs, their inputs and their request keys: the writes. Each function runs in the writer's thread, in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import apsw

from flowspan.errors import NotFoundError, PreconditionError, Reason
from flowspan.view.events import RunStatusCode
from runtime_core.ports import ExistingRun, InputChunk, NewRun, RunRecord
from runtime_core.stores.sqlite.appends import end_run, insert_first_row
from runtime_core.stores.sqlite.commit_views import Row, insert_runs
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.inputs import MAX_CHUNK_ITEMS, TARGET_CHUNK_BYTES, split_chunk
from runtime_core.stores.sqlite.row_files import LARGE_ROW_BYTES

SWEPT_KEYS: Final = 100
"""Expired request keys that one submit takes along: more than one, so that they never pile up."""
GARBAGE_ROWS: Final = 128
"""Log rows (up to 64 KiB each) that one slice of a deletion removes: some milliseconds of the writer's time."""

_INSERT_RUN: Final = (
    "INSERT INTO run (namespace, run_id, flow_id, flow_name, flow_label, root_run_id, parent_run_id, source_run_id,"
    " created_at_us, total, status, input_set_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_METADATA: Final = "INSERT INTO run_metadata (namespace, name, value, run_key) VALUES (?, ?, ?, ?)"
_INSERT_CHUNK: Final = "INSERT INTO input_chunk (input_set_id, first_item, item_count, data) VALUES (?, ?, ?, ?)"
_BEFORE_BIRTHS: Final = (
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'run'), 0),"
    " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'input_set'), 0),"
    " EXISTS (SELECT 1 FROM request_key WHERE is_tombstone = 1 AND expires_at_us <= ?),"
    " EXISTS (SELECT 1 FROM ({}) JOIN request_key ON namespace = column1 AND request_key = column2)"
)
"""The last keys that were given out, and whether request keys have expired or are known."""
_HAS_EXPIRED_KEYS: Final = "SELECT 1 FROM request_key WHERE is_tombstone = 1 AND expires_at_us <= ? LIMIT 1"
_SWEEP_KEYS: Final = (
    "DELETE FROM request_key WHERE rowid IN (SELECT rowid FROM request_key"
    " WHERE is_tombstone = 1 AND expires_at_us <= ? ORDER BY expires_at_us LIMIT ?)"
)


def create_run(db: StoreConnection, run: NewRun, epoch: int) -> int | ExistingRun:
    """Write a run, its inputs, its first log row and its request key, or find the run that the key made before."""
    if run.request_key is not None:
        existing = _known_request(db, run, run.request_key)
        if existing is not None:
            return existing
    input_set_id = _input_set(db, run)
    db.execute(
        _INSERT_RUN,
        (
            run.namespace,
            run.run_id,
            run.flow_id,
            run.flow_name,
            run.flow_label,
            run.root_run_id,
            run.parent_run_id,
            run.source_run_id,
            run.created_at_us,
            run.total,
            int(RunStatusCode.RUNNING),
            input_set_id,
        ),
    )
    run_key = db.last_insert_rowid()
    db.execute("INSERT INTO run_document VALUES (?, ?, ?)", (run_key, run.description, run.settings))
    db.execute("INSERT INTO log_head VALUES (?, ?, ?, ?)", (run_key, epoch, run.last_seq + 1, int(run.end is None)))
    insert_first_row(db, run_key, run.last_seq, run.first_row)
    _insert_metadata(db, run_key, run)
    if run.end is not None:
        end_run(db, run_key, run.end)
    if run.request_key is not None:
        db.execute(
            "INSERT INTO request_key (namespace, request_key, fingerprint, run_id, expires_at_us) VALUES (?, ?, ?, ?, ?)",
            (run.namespace, run.request_key, run.fingerprint, run.run_id, run.key_expires_us),
        )
    return run_key


def is_plain(run: NewRun) -> bool:
    """Whether `create_runs` takes it: with inputs of its own that make one row, and not ended by its creation."""
    if run.stage_id is not None or len(run.chunks) != 1 or run.end is not None or len(run.first_row) > LARGE_ROW_BYTES:
        return False
    inputs = run.chunks[0].inputs
    return len(inputs) <= MAX_CHUNK_ITEMS and sum(map(len, inputs)) < TARGET_CHUNK_BYTES


def create_runs(db: StoreConnection, new_runs: Sequence[NewRun], epoch: int) -> Sequence[int] | None:
    """The same as `create_run` for plain runs, together: two statements for all of them.

    Returns:
        Their keys; None, and nothing is done, if the request key of one of them is or may be known: then each is to be looked at
        by itself.
    """
    keys = [(run.namespace, run.request_key) for run in new_runs if run.request_key is not None]
    if len(set(keys)) < len(keys):
        return None
    asked = ", ".join(["(?, ?)"] * len(keys)) or "(NULL, NULL)"
    last_run_key, last_set_id, has_expired, is_known = db.execute(
        _BEFORE_BIRTHS.format(f"VALUES {asked}"), (new_runs[0].created_at_us, *chain.from_iterable(keys))
    ).get
    if is_known or (has_expired and keys):
        return None
    run_keys = range(last_run_key + 1, last_run_key + 1 + len(new_runs))
    insert_runs(
        db,
        [
            _row_of(run, run_key, run_key - last_run_key + last_set_id, epoch)
            for run_key, run in zip(run_keys, new_runs, strict=True)
        ],
    )
    for run_key, run in zip(run_keys, new_runs, strict=True):
        _insert_metadata(db, run_key, run)
    return run_keys


def _row_of(run: NewRun, run_key: int, input_set_id: int, epoch: int) -> Row:
    """As in `NEW_RUN_COLUMNS`."""
    ((first_item, item_count, inputs),) = split_chunk(run.chunks[0])
    assert first_item == 0
    return (
        run_key,
        run.namespace,
        run.run_id,
        run.flow_id,
        run.flow_name,
        run.flow_label,
        run.root_run_id,
        run.parent_run_id,
        run.source_run_id,
        run.created_at_us,
        run.total,
        run.description,
        run.settings,
        epoch,
        run.last_seq,
        run.first_row,
        run.request_key,
        run.fingerprint,
        run.key_expires_us,
        input_set_id,
        item_count,
        inputs,
    )


def _insert_metadata(db: apsw.Connection, run_key: int, run: NewRun) -> None:
    if run.metadata:
        db.executemany(_INSERT_METADATA, [(run.namespace, name, value, run_key) for name, value in run.metadata.items()])


def _known_request(db: apsw.Connection, run: NewRun, request_key: str) -> ExistingRun | None:
    # Looked for first: a deletion that finds nothing costs more than all the rest of this.
    if db.execute(_HAS_EXPIRED_KEYS, (run.created_at_us,)).get is not None:
        db.execute(_SWEEP_KEYS, (run.created_at_us, SWEPT_KEYS))
        # The sweep may not have come so far: this key's own tombstone counts only until its time.
        db.execute(
            "DELETE FROM request_key WHERE namespace = ? AND request_key = ? AND is_tombstone = 1 AND expires_at_us <= ?",
            (run.namespace, request_key, run.created_at_us),
        )
    return find_request(db, run.namespace, request_key)


def find_request(db: apsw.Connection, namespace: str, request_key: str) -> ExistingRun | None:
    found = db.execute(
        "SELECT run_id, fingerprint FROM request_key WHERE namespace = ? AND request_key = ?", (namespace, request_key)
    ).get
    return None if found is None else ExistingRun(*found)


def _input_set(db: StoreConnection, run: NewRun) -> int:
    """The set of inputs that the run points to: staged before, its source's, or a new one. Nothing is ever copied."""
    if run.stage_id is not None:
        staged: int | None = db.execute(
            "UPDATE input_set SET stage_id = NULL WHERE stage_id = ? RETURNING input_set_id", (run.stage_id,)
        ).get
        if staged is None:
            raise PreconditionError(f"no inputs are staged under {run.stage_id!r}; stage them again", stageId=run.stage_id)
        return staged
    if not run.chunks and run.source_run_id is not None:
        shared: int | None = db.execute(
            "SELECT input_set_id FROM run WHERE namespace = ? AND run_id = ?", (run.namespace, run.source_run_id)
        ).get
        if shared is None:
            raise NotFoundError(
                f"run {run.source_run_id}, whose inputs are to be used, is not there any more",
                reason=Reason.RUN_NOT_FOUND,
                runId=run.source_run_id,
            )
        return shared
    db.execute("INSERT INTO input_set (stage_id) VALUES (NULL)")
    input_set_id = db.last_insert_rowid()
    _insert_chunks(db, input_set_id, run.chunks)
    return input_set_id


def _insert_chunks(db: StoreConnection, input_set_id: int, chunks: Sequence[InputChunk]) -> None:
    rows: list[Row] = [(input_set_id, *row) for chunk in chunks for row in split_chunk(chunk)]
    db.executemany(_INSERT_CHUNK, db.row_files.keep("inputs", rows))


def adopt_run(db: apsw.Connection, record: RunRecord, epoch: int) -> bool:
    """Compare-and-set of the run's owner: what `record` says must still be so."""
    db.execute(
        "UPDATE log_head SET epoch = ? WHERE run_key = ? AND epoch = ? AND next_seq = ? AND is_open = 1",
        (epoch, record.run_key, record.epoch, record.next_seq),
    )
    return db.changes() == 1


def stage_inputs(db: StoreConnection, stage_id: str, chunks: Sequence[InputChunk]) -> None:
    db.execute("INSERT INTO input_set (stage_id) VALUES (?) ON CONFLICT (stage_id) DO NOTHING", (stage_id,))
    _insert_chunks(db, db.execute("SELECT input_set_id FROM input_set WHERE stage_id = ?", (stage_id,)).get, chunks)


def discard_stage(db: apsw.Connection, stage_id: str) -> None:
    for (input_set_id,) in db.execute("DELETE FROM input_set WHERE stage_id = ? RETURNING input_set_id", (stage_id,)).fetchall():
        db.execute("INSERT INTO garbage (input_set_id) VALUES (?)", (input_set_id,))


def discard_all_stages(db: apsw.Connection) -> None:
    """What a former process had staged belongs to nobody."""
    db.execute("INSERT INTO garbage (input_set_id) SELECT input_set_id FROM input_set WHERE stage_id IS NOT NULL")
    db.execute("DELETE FROM input_set WHERE stage_id IS NOT NULL")


def delete_run(db: apsw.Connection, namespace: str, run_key: int) -> None:
    """Make a run invisible at once; its log and inputs become garbage, its request keys tombstones."""
    found = db.execute("SELECT run_id, input_set_id FROM run WHERE run_key = ? AND namespace = ?", (run_key, namespace)).get
    if found is None:
        return
    run_id, input_set_id = found
    db.execute("UPDATE request_key SET is_tombstone = 1 WHERE namespace = ? AND run_id = ?", (namespace, run_id))
    db.execute("DELETE FROM run WHERE run_key = ?", (run_key,))
    db.execute("INSERT INTO garbage (run_key) VALUES (?)", (run_key,))
    if db.execute("SELECT 1 FROM run WHERE input_set_id = ?", (input_set_id,)).get is None:
        db.execute("DELETE FROM input_set WHERE input_set_id = ?", (input_set_id,))
        db.execute("INSERT INTO garbage (input_set_id) VALUES (?)", (input_set_id,))


def collect_garbage(db: StoreConnection) -> bool:
    """Remove one slice of what deleted runs left behind; whether there is more."""
    found = db.execute("SELECT garbage_id, run_key, input_set_id FROM garbage ORDER BY garbage_id LIMIT 1").get
    if found is None:
        return False
    garbage_id, run_key, input_set_id = found
    table, key_column, order, key = (
        ("log_row", "run_key", "last_seq", run_key)
        if run_key is not None
        else ("input_chunk", "input_set_id", "first_item", input_set_id)
    )
    db.execute(
        f"DELETE FROM {table} WHERE {key_column} = ?1 AND {order} IN"
        f" (SELECT {order} FROM {table} WHERE {key_column} = ?1 ORDER BY {order} LIMIT ?2)",
        (key, GARBAGE_ROWS),
    )
    if db.changes() < GARBAGE_ROWS:
        # Before the commit, so that a crash forgets no file. Nobody reads it: what it belongs to was made invisible before.
        if run_key is not None:
            db.row_files.remove("log", run_key)
        else:
            db.row_files.remove("inputs", input_set_id)
        db.execute("DELETE FROM garbage WHERE garbage_id = ?", (garbage_id,))
    return True
