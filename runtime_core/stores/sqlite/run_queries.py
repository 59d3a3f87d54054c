"""Runs and their inputs: the reads. Each function runs in a reader's thread and is one short statement or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from flowspan.errors import DataLossError, NotFoundError, Reason
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ItemCounts
from runtime_core.ports import InputChunk, RunFilter, RunRecord
from runtime_core.stores.page_token import decode_page_token, encode_page_token
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.inputs import decode_chunk

_SELECT: Final = (
    "SELECT run.run_key, run.namespace, run.run_id, log_head.epoch, log_head.next_seq, run.status, run_document.description,"
    " run_document.settings, run.counts, run.completed_at_us, run.cancel_reason FROM run JOIN log_head USING (run_key)"
    " JOIN run_document USING (run_key) WHERE "
)
_EQUALITIES: Final = ("flow_id", "flow_label", "parent_run_id", "root_run_id")
_counts = msgspec.json.Decoder(ItemCounts)


def _records(db: apsw.Connection, sql: str, bindings: Sequence[str | int] = ()) -> list[RunRecord]:
    """All rows of a statement that begins with `_SELECT`."""
    rows: list[Any] = db.execute(sql, bindings).fetchall()
    return [_record(row) for row in rows]


def _record(row: Any) -> RunRecord:
    run_key, namespace, run_id, epoch, next_seq, status, description, settings, counts, completed_at_us, cancel_reason = row
    return RunRecord(
        run_key,
        namespace,
        run_id,
        epoch,
        next_seq,
        RunStatusCode(status),
        description,
        settings,
        None if counts is None else _counts.decode(counts),
        completed_at_us,
        cancel_reason,
    )


def find_run(db: apsw.Connection, namespace: str, run_id: str) -> RunRecord | None:
    row = db.execute(_SELECT + "run.namespace = ? AND run.run_id = ?", (namespace, run_id)).get
    return None if row is None else _record(row)


def open_runs(db: apsw.Connection) -> list[RunRecord]:
    return _records(db, _SELECT + "run.status = 2 ORDER BY run.run_key")


def child_runs(db: apsw.Connection, namespace: str, run_id: str) -> list[RunRecord]:
    return _records(db, _SELECT + "run.namespace = ? AND run.parent_run_id = ? ORDER BY run.run_key", (namespace, run_id))


def page_query(run_filter: RunFilter, limit: int, after: str | None) -> tuple[str, list[str | int]]:
    """Statement and bindings for one run more than a page. Every index ends with the run's key: nothing is ever sorted."""
    conditions = ["run.namespace = ?"]
    bindings: list[str | int] = [run_filter.namespace]
    for column in _EQUALITIES:
        value: str | None = getattr(run_filter, column)
        if value is not None:
            conditions.append(f"run.{column} = ?")
            bindings.append(value)
    if run_filter.statuses:
        # Without the sign a list of statuses would be looked up one after another and sorted, or win over a rarer column.
        is_indexed = len(run_filter.statuses) == 1 and len(conditions) == 1
        conditions.append(f"{'' if is_indexed else '+'}run.status IN ({', '.join('?' * len(run_filter.statuses))})")
        bindings += map(int, run_filter.statuses)
    if run_filter.created_from_us is not None:
        conditions.append("run.created_at_us >= ?")
        bindings.append(run_filter.created_from_us)
    if run_filter.created_before_us is not None:
        conditions.append("run.created_at_us < ?")
        bindings.append(run_filter.created_before_us)
    for name, text in run_filter.metadata.items():
        conditions.append("run.run_key IN (SELECT run_key FROM run_metadata WHERE namespace = ? AND name = ? AND value = ?)")
        bindings += (run_filter.namespace, name, text)
    if after is not None:
        conditions.append("run.run_key < ?")
        bindings.append(decode_page_token(after))
    return f"{_SELECT}{' AND '.join(conditions)} ORDER BY run.run_key DESC LIMIT ?", [*bindings, limit + 1]


def list_runs(db: apsw.Connection, run_filter: RunFilter, limit: int, after: str | None) -> tuple[list[RunRecord], str | None]:
    """See `runtime_core.ports.Store.list_runs`. Newest first is the order in which runs were accepted, reversed."""
    records = _records(db, *page_query(run_filter, limit, after))
    if len(records) <= limit:
        return records, None
    return records[:limit], encode_page_token(records[limit - 1].run_key)


def read_inputs(db: StoreConnection, run_key: int, item_index: int) -> InputChunk:
    """See `runtime_core.ports.Store.read_inputs`.

    Raises:
        NotFoundError: the run was deleted, or has no such item.
    """
    row = db.execute(
        "SELECT first_item, item_count, input_set_id, data FROM input_chunk"
        " WHERE input_set_id = (SELECT input_set_id FROM run WHERE run_key = ?)"
        " AND first_item <= ? ORDER BY first_item DESC LIMIT 1",
        (run_key, item_index),
    ).get
    data: bytes | None = None
    if row is not None and item_index < row[0] + row[1]:
        data = db.row_files.data("inputs", row[2], row[3])
        if data is None and db.execute("SELECT 1 FROM run WHERE run_key = ?", (run_key,)).get is not None:
            raise DataLossError(f"the store has lost the file with the large inputs of run {run_key}; restore a backup")
    if row is None or data is None:
        raise NotFoundError(
            f"there is no input {item_index}: the run was deleted or has fewer items", reason=Reason.RUN_NOT_FOUND
        )
    return decode_chunk(row[0], data)


def read_item_index(db: apsw.Connection, run_key: int) -> bytes | None:
    found: bytes | None = db.execute("SELECT data FROM item_index WHERE run_key = ?", (run_key,)).get
    return found
