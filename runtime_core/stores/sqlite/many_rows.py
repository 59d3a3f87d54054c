"""Statements over many rows at once.

A step of a statement hands the interpreter to other threads and asks for it back. Beside a busy event loop that costs more than
the row itself: the runs of one commit are written with one statement per table instead of one per row (measured: a fourth of
the writer's time per run).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import apsw

MAX_ROWS: Final = 32
"""Of one statement. Rows are split into powers of two, so that few texts are ever prepared."""

Row = tuple[str | bytes | int | None, ...]


def insert_rows(db: apsw.Connection, insert: str, rows: Sequence[Row]) -> None:
    """Insert rows of one width. `insert`: the statement up to `VALUES`."""
    update_rows(db, insert + " {}", rows)


def update_rows(db: apsw.Connection, statement: str, rows: Sequence[Row]) -> int:
    """Do a statement that changes something for rows of one width, which stand where it says `{}`; how many it has changed."""
    changed = 0
    for part in _parts(rows):
        db.execute(_text(statement, len(part[0]), len(part)), [value for row in part for value in row])
        changed += db.changes()
    return changed


def select_rows(db: apsw.Connection, statement: str, rows: Sequence[Row]) -> Iterator[Any]:
    """What a query finds for rows of one width, which stand where it says `{}`."""
    for part in _parts(rows):
        yield from db.execute(_text(statement, len(part[0]), len(part)), [value for row in part for value in row])


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    while start < len(rows):
        count = min(MAX_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        yield rows[start : start + count]
        start += count


@lru_cache(maxsize=128)
def _text(statement: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(f"VALUES {', '.join([row] * rows)}")
