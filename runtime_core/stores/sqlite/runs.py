"""Runs, their inputs and their request keys: the writes. Each function runs in the writer's thread, in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from flowspan.errors import NotFoundError, PreconditionError, Reason
from flowspan.view.events import RunStatusCode
from runtime_core.ports import ExistingRun, InputChunk, NewRun, RunRecord
from runtime_core.stores.sqlite.appends import INSERT_ROW, end_runs
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.inputs import split_chunk
from runtime_core.stores.sqlite.many_rows import Row, insert_rows, select_rows

SWEPT_KEYS: Final = 100
"""Expired request keys that one submit takes along: more than one, so that they never pile up."""
GARBAGE_ROWS: Final = 128
"""Log rows (up to 64 KiB each) that one slice of a deletion removes: some milliseconds of the writer's time."""

_INSERT_RUN: Final = (
    "INSERT INTO run (namespace, run_id, flow_id, flow_name, flow_label, root_run_id, parent_run_id, source_run_id,"
    " created_at_us, total, status, input_set_id)"
)
_INSERT_DOCUMENT: Final = "INSERT INTO run_document (run_key, description, settings)"
_INSERT_HEAD: Final = "INSERT INTO log_head (run_key, epoch, next_seq, is_open)"
_INSERT_METADATA: Final = "INSERT INTO run_metadata (namespace, name, value, run_key)"
_INSERT_KEY: Final = "INSERT INTO request_key (namespace, request_key, fingerprint, run_id, expires_at_us)"
_KNOWN_KEYS: Final = "SELECT 1 FROM ({}) AS asked JOIN request_key ON namespace = column1 AND request_key = column2 LIMIT 1"
_INSERT_INPUT_SET: Final = "INSERT INTO input_set (stage_id)"
_INSERT_CHUNK: Final = "INSERT INTO input_chunk (input_set_id, first_item, item_count, data)"
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
    return _insert_runs(db, [run], [_input_set(db, run)], epoch)[0]


def create_runs(db: StoreConnection, new_runs: Sequence[NewRun], epoch: int) -> Sequence[int] | None:
    """The same for several runs, with one statement per table.

    Returns:
        Their keys. None if one of them needs to be looked at by itself: it brings inputs from elsewhere, or its request key is
        known. Nothing is to be kept of what was written then.
    """
    if any(run.stage_id is not None or not run.chunks for run in new_runs):
        return None
    keyed = [(run.namespace, run.request_key) for run in new_runs if run.request_key is not None]
    if keyed:
        _sweep_keys(db, new_runs[-1].created_at_us)
        if len(set(keyed)) < len(keyed) or any(select_rows(db, _KNOWN_KEYS, keyed)):
            return None
    insert_rows(db, _INSERT_INPUT_SET, [(None,)] * len(new_runs))
    input_set_ids = _last_ids(db, len(new_runs))
    rows: list[Row] = [
        (input_set_id, *row)
        for input_set_id, run in zip(input_set_ids, new_runs, strict=True)
        for chunk in run.chunks
        for row in split_chunk(chunk)
    ]
    insert_rows(db, _INSERT_CHUNK, db.row_files.keep("inputs", rows))
    return _insert_runs(db, new_runs, input_set_ids, epoch)


def _insert_runs(db: StoreConnection, new_runs: Sequence[NewRun], input_set_ids: Sequence[int], epoch: int) -> Sequence[int]:
    """All of runs but their inputs; their keys. The request keys are not known yet."""
    insert_rows(
        db,
        _INSERT_RUN,
        [
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
            )
            for input_set_id, run in zip(input_set_ids, new_runs, strict=True)
        ],
    )
    run_keys = _last_ids(db, len(new_runs))
    keyed_runs = list(zip(run_keys, new_runs, strict=True))
    insert_rows(db, _INSERT_DOCUMENT, [(run_key, run.description, run.settings) for run_key, run in keyed_runs])
    insert_rows(db, _INSERT_HEAD, [(run_key, epoch, run.last_seq + 1, int(run.end is None)) for run_key, run in keyed_runs])
    first_rows: list[Row] = [(run_key, run.last_seq, 1, run.first_row) for run_key, run in keyed_runs]
    insert_rows(db, INSERT_ROW, db.row_files.keep("log", first_rows))
    metadata = [(run.namespace, name, value, run_key) for run_key, run in keyed_runs for name, value in run.metadata.items()]
    insert_rows(db, _INSERT_METADATA, metadata)
    end_runs(db, [(run_key, run.end) for run_key, run in keyed_runs if run.end is not None])
    request_keys = [
        (run.namespace, run.request_key, run.fingerprint, run.run_id, run.key_expires_us)
        for run in new_runs
        if run.request_key is not None
    ]
    insert_rows(db, _INSERT_KEY, request_keys)
    return run_keys


def _last_ids(db: apsw.Connection, count: int) -> range:
    """Keys of the rows that were inserted last: the tables count theirs up (AUTOINCREMENT), and nobody else writes."""
    last = db.last_insert_rowid()
    return range(last - count + 1, last + 1)


def _known_request(db: apsw.Connection, run: NewRun, request_key: str) -> ExistingRun | None:
    if _sweep_keys(db, run.created_at_us):
        # The sweep may not have come so far: this key's own tombstone counts only until its time.
        db.execute(
            "DELETE FROM request_key WHERE namespace = ? AND request_key = ? AND is_tombstone = 1 AND expires_at_us <= ?",
            (run.namespace, request_key, run.created_at_us),
        )
    return find_request(db, run.namespace, request_key)


def _sweep_keys(db: apsw.Connection, now_us: int) -> bool:
    """Remove keys whose time is over; whether there were any."""
    # Looked for first: a deletion that finds nothing costs more than all the rest of this.
    if db.execute(_HAS_EXPIRED_KEYS, (now_us,)).get is None:
        return False
    db.execute(_SWEEP_KEYS, (now_us, SWEPT_KEYS))
    return True


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
    insert_rows(db, _INSERT_INPUT_SET, [(None,)])
    input_set_id = db.last_insert_rowid()
    _insert_chunks(db, input_set_id, run.chunks)
    return input_set_id


def _insert_chunks(db: StoreConnection, input_set_id: int, chunks: Sequence[InputChunk]) -> None:
    rows: list[Row] = [(input_set_id, *row) for chunk in chunks for row in split_chunk(chunk)]
    insert_rows(db, _INSERT_CHUNK, db.row_files.keep("inputs", rows))


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
