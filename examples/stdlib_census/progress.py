"""Live progress on stderr: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 2.0


class ModuleProgress(Protocol):
    """Told how many modules are done; the figure never falls."""

    def show(self, done: int) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Bar:
    """A bar with rate and time left."""

    def __init__(self, total: int, console: Console) -> None:
        self._progress = Progress(
            TextColumn("modules"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("modules", total=total, rate="")
        self._began_s = time.monotonic()

    def show(self, done: int) -> None:
        rate = done / max(1e-9, time.monotonic() - self._began_s)
        self._progress.update(self._task, completed=done, rate=f"{rate:,.0f}/s")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()


class Lines:
    """One line every two seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began_s = self._told_s = time.monotonic()

    def show(self, done: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < LINE_EVERY_S or not done:
            return
        self._told_s = now_s
        rate = done / (now_s - self._began_s)
        left_s = (self._total - done) / rate
        print(f"  {done:,} of {self._total:,} modules, {rate:,.0f}/s, {left_s:,.0f} s left", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


def module_progress(total: int) -> ModuleProgress:
    """What suits stderr."""
    console = Console(stderr=True)
    return Bar(total, console) if console.is_terminal else Lines(total)
