"""Whether the event loop may make a commit itself: it is small, the disk is quick, and only one run is at work.

Pure: times are given.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_LOOP_BYTES: Final = 256 * 1024
"""More is written by the thread: its pages alone would keep the loop for a millisecond."""
LATELY_S: Final = 1.0
"""A run that has not ended counts as being at work for so long after its last row."""
SLOW_S: Final = 0.002
"""From here on a commit costs the loop more than the two changes of threads that it saves."""
PAUSE_S: Final = 1.0
"""How long after slow commits the loop makes none; then a few show whether the disk is quick again."""
_SHARE: Final = 0.25
"""Of the newest commit in the average: one hiccup of the disk does not count as slow, three commits in a row do."""


class CommitPace:
    """How long commits in the loop take, and which runs write."""

    def __init__(self) -> None:
        self._average_s = 0.0
        self._resume_at_s = 0.0
        self._at_work: OrderedDict[int, float] = OrderedDict()  # when each run wrote last; the longest ago first

    def allows(self, size_bytes: int, new_runs: int, now_s: float) -> bool:
        """Whether the loop may commit so much now, and so many new runs.

        With several runs at work each turn of the loop brings the rows of one or two of them, and a commit takes the loop as long
        as the work for a run: the thread gathers them meanwhile. (64 small runs side by side: 780 a second, not 440.)
        """
        at_work = self._at_work
        while len(at_work) + new_runs > 1:
            if not at_work or next(iter(at_work.values())) > now_s - LATELY_S:
                return False
            at_work.popitem(last=False)
        return size_bytes <= MAX_LOOP_BYTES and now_s >= self._resume_at_s

    def took(self, duration_s: float, now_s: float) -> None:
        """A commit in the loop has taken so long."""
        # Longer ones count alike: a single commit is never enough for a pause.
        self._average_s += _SHARE * (min(duration_s, 2 * SLOW_S) - self._average_s)
        if self._average_s > SLOW_S:
            self._average_s = SLOW_S / 2
            self._resume_at_s = now_s + PAUSE_S

    def wrote(self, run_key: int, now_s: float) -> None:
        """Rows of a run that goes on are durable."""
        self._at_work[run_key] = now_s
        self._at_work.move_to_end(run_key)

    def ended(self, run_key: int) -> None:
        """The last rows of a run are durable."""
        self._at_work.pop(run_key, None)
