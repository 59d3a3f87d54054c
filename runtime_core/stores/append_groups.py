"""Appends of one commit, ordered by run and joined into stored rows. Pure; every store plans its commits with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from runtime_core.ports import Append, LogRow

MAX_JOINED_ROW_BYTES: Final = 64 * 1024
"""Rows are joined up to this size: large enough that a row's own cost vanishes, small enough for a watcher's message."""


class AppendGroup:
    """Appends of one run that follow each other without a gap, all of one epoch: one compare-and-set covers them."""

    __slots__ = ("appends", "epoch", "first_seq", "last", "run_key")

    def __init__(self, first: Append) -> None:
        self.run_key = first.run_key
        self.epoch = first.epoch
        self.first_seq = first.first_seq
        self.last = first
        self.appends = [first]

    def takes(self, append: Append) -> bool:
        """Whether `append` continues this group: next sequence number, same epoch, nothing after the run's end."""
        last = self.last
        return append.first_seq == last.last_seq + 1 and append.epoch == self.epoch and last.end is None

    def add(self, append: Append) -> None:
        self.appends.append(append)
        self.last = append

    @property
    def next_seq(self) -> int:
        """The run's next sequence number once the group is committed."""
        return self.last.last_seq + 1

    def rows(self) -> Iterator[LogRow]:
        """The rows to be stored: neighbours joined up to `MAX_JOINED_ROW_BYTES`; a larger one stays alone."""
        pending: list[bytes] = []
        size = first_seq = last_seq = 0
        for append in self.appends:
            row = append.row
            if pending and size + len(row) > MAX_JOINED_ROW_BYTES:
                yield LogRow(first_seq, last_seq, pending[0] if len(pending) == 1 else b"".join(pending))
                pending = []
                size = 0
            if not pending:
                first_seq = append.first_seq
            pending.append(row)
            size += len(row)
            last_seq = append.last_seq
        yield LogRow(first_seq, last_seq, pending[0] if len(pending) == 1 else b"".join(pending))


def group_appends(appends: Sequence[Append]) -> list[AppendGroup]:
    """Groups in the order of their first append. A gap, another epoch or a run's end starts a new group."""
    groups: list[AppendGroup] = []
    current: dict[int, AppendGroup] = {}
    for append in appends:
        group = current.get(append.run_key)
        if group is not None and group.takes(append):
            group.add(append)
        else:
            group = current[append.run_key] = AppendGroup(append)
            groups.append(group)
    return groups
