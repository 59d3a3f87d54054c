"""Log rows: how they are written, and how they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from runtime_core.ports import Append, LogRow, RunEnd
from runtime_core.stores.append_groups import group_appends

_ADVANCE: Final = "UPDATE log_head SET next_seq = ?, is_open = ? WHERE run_key = ? AND epoch = ? AND next_seq = ? AND is_open = 1"
_INSERT_ROW: Final = "INSERT INTO log_row (run_key, last_seq, first_seq, data) VALUES (?, ?, ?, ?)"
_END_RUN: Final = "UPDATE run SET status = ?, completed_at_us = ?, counts = ?, cancel_reason = ? WHERE run_key = ?"
_SEAL_INDEX: Final = "INSERT INTO item_index (run_key, data) VALUES (?, ?)"
_ROWS_AFTER: Final = (
    "SELECT first_seq, last_seq, data FROM log_row WHERE run_key = ?1 AND last_seq > ?2"
    " AND EXISTS (SELECT 1 FROM log_head WHERE run_key = ?1) ORDER BY last_seq"
)
_ROW_WITH: Final = (
    "SELECT first_seq, last_seq, data FROM log_row WHERE run_key = ?1 AND last_seq >= ?2"
    " AND EXISTS (SELECT 1 FROM log_head WHERE run_key = ?1) ORDER BY last_seq LIMIT 1"
)


def write_appends(db: apsw.Connection, appends: Sequence[Append], committed: list[Append], fenced: list[Append]) -> int:
    """Write rows within the open transaction; sort what was given into `committed` and `fenced`, keeping its order.

    From the first append on that does not meet its run where it says, none of that owner's appends is written.

    Returns:
        How many rows were stored.
    """
    lost_owners: set[tuple[int, int]] = set()
    lost_appends: set[int] = set()
    rows: list[tuple[int, int, int, bytes]] = []
    for group in group_appends(appends):
        owner = (group.run_key, group.epoch)
        end = group.last.end
        if owner not in lost_owners:
            db.execute(_ADVANCE, (group.next_seq, int(end is None), group.run_key, group.epoch, group.first_seq))
            if db.changes() == 0:
                lost_owners.add(owner)
        if owner in lost_owners:
            lost_appends.update(map(id, group.appends))
            continue
        rows += [(group.run_key, row.last_seq, row.first_seq, row.data) for row in group.rows()]
        if end is not None:
            end_run(db, group.run_key, end)
    db.executemany(_INSERT_ROW, rows)
    if lost_appends:
        committed += [append for append in appends if id(append) not in lost_appends]
        fenced += [append for append in appends if id(append) in lost_appends]
    else:
        committed += appends
    return len(rows)


def end_run(db: apsw.Connection, run_key: int, end: RunEnd) -> None:
    """Write the facts of a run's end; its log was closed before."""
    counts = msgspec.json.encode(end.counts).decode()
    db.execute(_END_RUN, (int(end.status), end.completed_at_us, counts, end.cancel_reason, run_key))
    db.execute(_SEAL_INDEX, (run_key, end.item_index))


def insert_first_row(db: apsw.Connection, run_key: int, last_seq: int, row: bytes) -> None:
    db.execute(_INSERT_ROW, (run_key, last_seq, 1, row))


def read_rows(db: apsw.Connection, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
    """See `runtime_core.ports.Store.read_rows`."""
    rows: list[LogRow] = []
    room = max_bytes
    cursor = db.execute(_ROWS_AFTER, (run_key, after_seq))
    try:
        for first_seq, last_seq, data in cursor:
            room -= len(data)
            if rows and room < 0:
                break
            rows.append(LogRow(first_seq, last_seq, data))
    finally:
        cursor.close(True)  # an open cursor would keep the write-ahead log from starting again
    return rows


def read_rows_with(db: apsw.Connection, run_key: int, seqs: Sequence[int]) -> list[LogRow]:
    """See `runtime_core.ports.Store.read_rows_with`."""
    rows: list[LogRow] = []
    last_seq = 0
    for seq in seqs:
        if seq <= last_seq:
            continue
        found = db.execute(_ROW_WITH, (run_key, seq)).get
        if found is None:
            break
        last_seq = found[1]
        if found[0] <= seq:
            rows.append(LogRow(*found))
    return rows
