"""Log rows: how they are written, and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from flowspan.errors import DataLossError
from runtime_core.ports import Append, LogRow, RunEnd
from runtime_core.stores.append_groups import AppendGroup, group_appends
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.many_rows import Row, insert_rows, update_rows

_ADVANCE_ONE: Final = (
    "UPDATE log_head SET next_seq = ?, is_open = ? WHERE run_key = ? AND epoch = ? AND next_seq = ? AND is_open = 1"
)
"""Of one run, as in most commits: half the cost of the form for many."""
_ADVANCE: Final = (
    "UPDATE log_head SET next_seq = column1, is_open = column2 FROM ({})"
    " WHERE run_key = column3 AND epoch = column4 AND next_seq = column5 AND is_open = 1"
)
INSERT_ROW: Final = "INSERT INTO log_row (run_key, last_seq, first_seq, data)"
_END_RUN: Final = (
    "UPDATE run SET status = column1, completed_at_us = column2, counts = column3, cancel_reason = column4 FROM ({})"
    " WHERE run_key = column5"
)
_SEAL_INDEX: Final = "INSERT INTO item_index (run_key, data)"
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
    lost = _advance(db, groups)
    kept = [group for group in groups if group not in lost] if lost else groups
    rows: list[Row] = [(group.run_key, row.last_seq, row.first_seq, row.data) for group in kept for row in group.rows()]
    insert_rows(db, INSERT_ROW, db.row_files.keep("log", rows))
    end_runs(db, [(group.run_key, group.last.end) for group in kept if group.last.end is not None])
    if lost:
        lost_appends = {id(append) for group in lost for append in group.appends}
        committed += [append for append in appends if id(append) not in lost_appends]
        fenced += [append for append in appends if id(append) in lost_appends]
    else:
        committed += appends
    return len(rows)


def _advance(db: apsw.Connection, groups: Sequence[AppendGroup]) -> set[AppendGroup]:
    """Move the runs' heads on; the groups that do not meet their run where they say."""
    if len(groups) > 1 and len({group.run_key for group in groups}) == len(groups):
        # Usually all meet it. If not, nothing says which: they are undone, and asked one after the other.
        db.execute("SAVEPOINT advance")
        advanced = update_rows(db, _ADVANCE, [_head_of(group) for group in groups])
        if advanced < len(groups):
            db.execute("ROLLBACK TO advance")
        db.execute("RELEASE advance")
        if advanced == len(groups):
            return set()
    lost: set[AppendGroup] = set()
    lost_owners: set[tuple[int, int]] = set()
    for group in groups:
        owner = (group.run_key, group.epoch)
        if owner not in lost_owners:
            db.execute(_ADVANCE_ONE, _head_of(group))
            if db.changes():
                continue
            lost_owners.add(owner)
        lost.add(group)
    return lost


def _head_of(group: AppendGroup) -> Row:
    return group.next_seq, int(group.last.end is None), group.run_key, group.epoch, group.first_seq


def end_runs(db: apsw.Connection, ended: Sequence[tuple[int, RunEnd]]) -> None:
    """Write the facts of the ends of runs, by their keys; their logs were closed before."""
    facts: list[Row] = [
        (int(end.status), end.completed_at_us, msgspec.json.encode(end.counts).decode(), end.cancel_reason, run_key)
        for run_key, end in ended
    ]
    update_rows(db, _END_RUN, facts)
    insert_rows(db, _SEAL_INDEX, [(run_key, end.item_index) for run_key, end in ended])


def read_rows(db: StoreConnection, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
    """See `runtime_core.ports.Store.read_rows`."""
    rows: list[LogRow] = []
    room = max_bytes
    cursor = db.execute(_ROWS_AFTER, (run_key, after_seq))
    try:
        for first_seq, last_seq, stored in cursor:
            data = db.row_files.data("log", run_key, stored)
            if data is None:
                _refuse_lost(db, run_key)
                return []
            room -= len(data)
            if rows and room < 0:
                break
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
