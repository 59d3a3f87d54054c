"""Progress of a run on stderr: a bar on a terminal, a line now and then otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO

import msgspec

from flowspan.view.status import ItemCounts
from gateway.cli.exits import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S: Final = 10.0
"""Between two plain lines: enough to see that it goes on, little enough for the log of a nightly job."""
FIRST_LINE_S: Final = 2.0
"""A run shorter than this says nothing but its end."""


class Display(Protocol):
    """Where progress is shown."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, items: ItemCounts) -> None:
        """The counts as of now. Called once per batch of results."""
        ...

    def wait(self, reasons: Sequence[str]) -> None:
        """Why nothing comes, as the gateway says; empty: it goes on. Called now and then while nothing comes."""
        ...


def choose_display(title: str, *, quiet: bool, as_json: bool, beside_results: bool = False) -> Display:
    """A bar if stderr is a terminal, else lines; nothing if `quiet`.

    Args:
        beside_results: results go to stdout meanwhile. Where that is a terminal, too, they would stand in the bar's line; they
            are progress enough.
    """
    if quiet:
        return Silence()
    if not as_json and _is_terminal(sys.stderr) and not (beside_results and _is_terminal(sys.stdout)):
        return Bar(title)
    return Lines(as_json=as_json)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def show(self, items: ItemCounts) -> None:
        return

    def wait(self, reasons: Sequence[str]) -> None:
        return


class Lines(Silence):
    """A plain line on stderr every few seconds: for files, pipes and other programs.

    Args:
        as_json: objects with the same facts.
        clock: monotonic seconds.
    """

    def __init__(self, *, as_json: bool = False, clock: Any = time.monotonic) -> None:
        self._as_json: Final = as_json
        self._clock: Final = clock
        self._began = clock()
        self._due = self._began + FIRST_LINE_S
        self._wait_due = self._due
        self._done_at_first: int | None = None

    def show(self, items: ItemCounts) -> None:
        now = self._clock()
        if self._done_at_first is None:
            # A run that is resumed did not do all of it just now.
            self._done_at_first, self._began = done_of(items), now
        if now >= self._due:
            self._due = now + LINE_EVERY_S
            say(self._line(items, (done_of(items) - self._done_at_first) / max(now - self._began, 1e-3)))

    def wait(self, reasons: Sequence[str]) -> None:
        now = self._clock()
        if reasons and now >= self._wait_due:
            self._wait_due = now + LINE_EVERY_S
            line = f"flowspan: waiting: {', '.join(reasons)}"
            say(msgspec.json.encode({"waitingFor": reasons}).decode() if self._as_json else line)

    def _line(self, items: ItemCounts, rate: float) -> str:
        left = items.total - done_of(items)
        eta_s = left / rate if rate > 0 else None
        if self._as_json:
            facts = {"items": items, "ratePerSecond": round(rate, 1), "etaSeconds": None if eta_s is None else round(eta_s)}
            return msgspec.json.encode({"progress": facts}).decode()
        failed = f", {items.failed} failed" if items.failed else ""
        eta = f", {_duration(eta_s)} left" if eta_s is not None else ""
        return f"flowspan: {done_of(items)}/{items.total} items{failed}, {rate:.0f}/s{eta}"


class Bar:
    """rich's progress bar, with rate and time left."""

    def __init__(self, title: str) -> None:
        self._title: Final = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]}", style="red", markup=False),
            TextColumn("{task.fields[waiting]}", style="yellow", markup=False),
            console=Console(stderr=True),
            refresh_per_second=10,
        )
        self._progress.start()
        self._task = self._progress.add_task(self._title, total=None, rate="", failed="", waiting="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, items: ItemCounts) -> None:
        if self._progress is None or self._task is None:
            return
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            total=items.total,
            completed=done_of(items),
            rate="" if not speed else f"{speed:,.0f}/s",
            failed=f"{items.failed} failed" if items.failed else "",
            waiting="",
        )

    def wait(self, reasons: Sequence[str]) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, waiting=f"waiting: {', '.join(reasons)}" if reasons else "")


def done_of(items: ItemCounts) -> int:
    """Items that have ended."""
    return items.success + items.failed + items.cancelled


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7_200 else f"{whole // 3_600} h"
