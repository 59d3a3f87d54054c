"""Views of the writer's own connection: what is inserted into them reaches all tables that it concerns, in one statement.

A step of a statement hands the interpreter to other threads and asks for it back, and beside a busy event loop that takes longer
than the row itself. A commit that creates runs and carries rows of others so takes a handful of steps, however many runs there
are; with a statement per table it took some thirty, and with one per row hundreds (measured: 280 us of the writer's CPU time per
sub-run, and a commit of 5 ms; docs/performance.md).

They are temporary: nothing of them is in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import apsw

MAX_ROWS: Final = 32
"""Of one statement: as many texts are kept ready as there are numbers of rows."""

Row = tuple[str | bytes | int | None, ...]

NEW_RUN_COLUMNS: Final = (
    "run_key", "namespace", "run_id", "flow_id", "flow_name", "flow_label", "root_run_id", "parent_run_id", "source_run_id",
    "created_at_us", "total", "description", "settings", "epoch", "last_seq", "first_row", "request_key", "fingerprint",
    "key_expires_us", "input_set_id", "item_count", "inputs",
)  # fmt: skip
NEW_ROW_COLUMNS: Final = (
    "run_key", "epoch", "first_seq", "last_seq", "is_open", "status", "completed_at_us", "counts", "cancel_reason", "item_index",
    "data",
)  # fmt: skip

_NOT_THERE: Final = "the run is not where the row says"
_VIEWS: Final = f"""
CREATE TEMP VIEW new_run AS SELECT {", ".join(f"NULL AS {name}" for name in NEW_RUN_COLUMNS)};
CREATE TEMP TRIGGER new_run_comes INSTEAD OF INSERT ON new_run
BEGIN
    INSERT INTO input_set (input_set_id) VALUES (NEW.input_set_id);
    INSERT INTO input_chunk (input_set_id, first_item, item_count, data)
        VALUES (NEW.input_set_id, 0, NEW.item_count, NEW.inputs);
    INSERT INTO run (run_key, namespace, run_id, flow_id, flow_name, flow_label, root_run_id, parent_run_id, source_run_id,
        created_at_us, total, status, input_set_id)
        VALUES (NEW.run_key, NEW.namespace, NEW.run_id, NEW.flow_id, NEW.flow_name, NEW.flow_label, NEW.root_run_id,
        NEW.parent_run_id, NEW.source_run_id, NEW.created_at_us, NEW.total, 2, NEW.input_set_id);
    INSERT INTO run_document (run_key, description, settings) VALUES (NEW.run_key, NEW.description, NEW.settings);
    INSERT INTO log_head (run_key, epoch, next_seq, is_open) VALUES (NEW.run_key, NEW.epoch, NEW.last_seq + 1, 1);
    INSERT INTO log_row (run_key, last_seq, first_seq, data) VALUES (NEW.run_key, NEW.last_seq, 1, NEW.first_row);
    INSERT INTO request_key (namespace, request_key, fingerprint, run_id, expires_at_us)
        SELECT NEW.namespace, NEW.request_key, NEW.fingerprint, NEW.run_id, NEW.key_expires_us WHERE NEW.request_key IS NOT NULL;
END;
CREATE TEMP VIEW new_row AS SELECT {", ".join(f"NULL AS {name}" for name in NEW_ROW_COLUMNS)};
CREATE TEMP TRIGGER new_row_comes INSTEAD OF INSERT ON new_row
BEGIN
    UPDATE log_head SET next_seq = NEW.last_seq + 1, is_open = NEW.is_open
        WHERE run_key = NEW.run_key AND epoch = NEW.epoch AND next_seq = NEW.first_seq AND is_open = 1;
    SELECT RAISE (ABORT, '{_NOT_THERE}') WHERE changes() = 0;
    INSERT INTO log_row (run_key, last_seq, first_seq, data) VALUES (NEW.run_key, NEW.last_seq, NEW.first_seq, NEW.data);
    UPDATE run SET status = NEW.status, completed_at_us = NEW.completed_at_us, counts = NEW.counts,
        cancel_reason = NEW.cancel_reason WHERE NEW.is_open = 0 AND run_key = NEW.run_key;
    INSERT INTO item_index (run_key, data) SELECT NEW.run_key, NEW.item_index WHERE NEW.is_open = 0;
END;
"""


def open_views(db: apsw.Connection) -> None:
    """Make them, once the schema is there."""
    db.execute(_VIEWS)


def insert_runs(db: apsw.Connection, rows: Sequence[Row]) -> None:
    """Create runs whose inputs are one chunk each. Rows as in `NEW_RUN_COLUMNS`."""
    for start in range(0, len(rows), MAX_ROWS):
        part = rows[start : start + MAX_ROWS]
        db.execute(_inserting("new_run", len(NEW_RUN_COLUMNS), len(part)), tuple(chain.from_iterable(part)))


def insert_log_rows(db: apsw.Connection, rows: Sequence[Row]) -> bool:
    """Write rows of logs and move the runs' heads on; with the row that closes a log, the facts of its run's end.

    Args:
        rows: as in `NEW_ROW_COLUMNS`; at most `MAX_ROWS`.

    Returns:
        False if one of them does not meet its run where it says. None is written then.
    """
    try:
        db.execute(_inserting("new_row", len(NEW_ROW_COLUMNS), len(rows)), tuple(chain.from_iterable(rows)))
    except apsw.ConstraintError as error:
        if _NOT_THERE not in str(error):
            raise
        return False
    return True


@lru_cache(maxsize=4 * MAX_ROWS)
def _inserting(view: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {view} VALUES {', '.join([row] * rows)}"
