"""Log rows: how they are written, and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from flowspan.errors import DataLossError
from runtime_core.ports import Append, LogRow, RunEnd
from runtime_core.stores.append_groups import AppendGroup, group_appends
from runtime_core.stores.sqlite.commit_views import MAX_ROWS, Row, insert_log_rows
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.row_files import LARGE_ROW_BYTES

_INSERT_ROW: Final = "INSERT INTO log_row (run_key, last_seq, first_seq, data) VALUES (?, ?, ?, ?)"
_END_RUN: Final = "UPDATE run SET status = ?, completed_at_us = ?, counts = ?, cancel_reason = ? WHERE run_key = ?"
_SEAL_INDEX: Final = "INSERT INTO item_index (run_key, data) VALUES (?, ?)"
_IS_AT: Final = "SELECT 1 FROM log_head WHERE run_key = ? AND epoch = ? AND next_seq = ? AND is_open = 1"
_ROWS_AFTER: Final = (
    "SELECT first_seq, last_seq, data FROM log_row WHERE run_key = ?1 AND last_seq > ?2"
    " AND EXISTS (SELECT 1 FROM log_head WHERE run_key = ?1) ORDER BY last_seq"
)
_ROW_WITH: Final = (
    "SELECT first_seq, last_seq, data FROM log_row WHERE run_key = ?1 AND last_seq >= ?2"
    " AND EXISTS (SELECT 1 FROM log_head WHERE run_key = ?1) ORDER BY last_seq LIMIT 1"
)


def write_appends(db: StoreConnection, appends: Sequence[Append], committed: list[Append], fenced: list[Append]) -> int:
    """Write rows within the open transaction; sort what was given into `committed` and `fenced`, keeping its order.

    From the first append on that does not meet its run where it says, none of that owner's appends is written.

    Returns:
        How many rows were stored.
    """
    groups = group_appends(appends)
    lost: set[AppendGroup] = set()
    rows: list[tuple[AppendGroup, Row]] = []
    for group in groups:
        stored = list(group.rows())
        if any(len(row.data) > LARGE_ROW_BYTES for row in stored) and not _is_at(db, group):
            lost.add(group)  # nothing of it goes into the file of a run that has another owner
        else:
            rows += [(group, row) for row in _rows_of(db, group, stored)]
    lost_owners = {(group.run_key, group.epoch) for group in lost}
    for start in range(0, len(rows), MAX_ROWS):
        part = rows[start : start + MAX_ROWS]
        if lost_owners or not insert_log_rows(db, [row for _, row in part]):
            for group, row in part:
                owner = (group.run_key, group.epoch)
                if owner in lost_owners or not insert_log_rows(db, [row]):
                    lost_owners.add(owner)
                    lost.add(group)
    if lost:
        lost_appends = {id(append) for group in lost for append in group.appends}
        committed += [append for append in appends if id(append) not in lost_appends]
        fenced += [append for append in appends if id(append) in lost_appends]
        return sum(group not in lost for group, _ in rows)
    committed += appends
    return len(rows)


def _is_at(db: apsw.Connection, group: AppendGroup) -> bool:
    return db.execute(_IS_AT, (group.run_key, group.epoch, group.first_seq)).get is not None


def _rows_of(db: StoreConnection, group: AppendGroup, stored: Sequence[LogRow]) -> Sequence[Row]:
    """A group's rows as in `NEW_ROW_COLUMNS`; the facts of the run's end stand with its last one."""
    end = group.last.end
    rows: list[Row] = [
        (group.run_key, group.epoch, row.first_seq, row.last_seq, 1, None, None, None, None, None, row.data) for row in stored
    ]
    if end is not None:
        last = stored[-1]
        counts = msgspec.json.encode(end.counts).decode()
        rows[-1] = (
            group.run_key, group.epoch, last.first_seq, last.last_seq, 0, int(end.status), end.completed_at_us, counts,
            end.cancel_reason, end.item_index, last.data,
        )  # fmt: skip
    return db.row_files.keep("log", rows)


def insert_first_row(db: StoreConnection, run_key: int, last_seq: int, row: bytes) -> None:
    for kept in db.row_files.keep("log", [(run_key, last_seq, 1, row)]):
        db.execute(_INSERT_ROW, kept)


def end_run(db: apsw.Connection, run_key: int, end: RunEnd) -> None:
    """Write the facts of a run's end; its log was closed before."""
    counts = msgspec.json.encode(end.counts).decode()
    db.execute(_END_RUN, (int(end.status), end.completed_at_us, counts, end.cancel_reason, run_key))
    db.execute(_SEAL_INDEX, (run_key, end.item_index))


def read_rows(db: StoreConnection, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
    """See `runtime_core.ports.Store.read_rows`."""
    rows: list[LogRow] = []
    room = max_bytes
    cursor = db.execute(_ROWS_AFTER, (run_key, after_seq))
    try:
        for first_seq, last_seq, stored in cursor:
            room -= db.row_files.size(stored)
            if rows and room < 0:
                break
            data = db.row_files.data("log", run_key, stored)
            if data is None:
                _refuse_lost(db, run_key)
                return []
            rows.append(LogRow(first_seq, last_seq, data))
    finally:
        cursor.close(True)  # an open cursor would keep the write-ahead log from starting again
    return rows


def read_rows_with(db: StoreConnection, run_key: int, seqs: Sequence[int]) -> list[LogRow]:
    """See `runtime_core.ports.Store.read_rows_with`."""
    rows: list[LogRow] = []
    last_seq = 0
    for seq in seqs:
        if seq <= last_seq:
            continue
        found = db.execute(_ROW_WITH, (run_key, seq)).get
        if found is None:
            break
        first_seq, last_seq, stored = found
        if first_seq <= seq:
            data = db.row_files.data("log", run_key, stored)
            if data is None:
                _refuse_lost(db, run_key)
                break
            rows.append(LogRow(first_seq, last_seq, data))
    return rows


def _refuse_lost(db: apsw.Connection, run_key: int) -> None:
    """The file with large rows is not there: right for a run that was deleted meanwhile.

    Raises:
        DataLossError: for any other.
    """
    if db.execute("SELECT 1 FROM log_head WHERE run_key = ?", (run_key,)).get is not None:
        raise DataLossError(f"the store has lost the file with the large results of run {run_key}; restore a backup")
