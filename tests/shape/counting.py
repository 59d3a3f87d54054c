"""What a program does, counted instead of timed: function calls by name, and what is asked of the event loop."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGES = frozenset({"flowspan", "runtime_core", "gateway", "tests"})


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what is asked of it in `asked`: tasks, timers, callbacks, futures, readers."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        super().__init__()

    def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
        self.asked["tasks"] += 1
        return super().create_task(*args, **options)

    def create_future(self) -> asyncio.Future[Any]:
        self.asked["futures"] += 1
        return super().create_future()

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self.asked["timers"] += 1
        return super().call_at(*args, **options)

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        self.asked["callbacks"] += 1
        return super().call_soon(*args, **options)

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        self.asked["callbacks from threads"] += 1
        return super().call_soon_threadsafe(*args, **options)


class Calls:
    """Calls of functions, by name: `package/module.py:Class.method` of ours, `module.function` or `type.method` of C."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def of(self, *parts: str) -> int:
        """Calls of all functions whose name contains one of these."""
        return sum(count for name, count in self.counts.items() if any(part in name for part in parts))

    def at_least(self, count: int) -> dict[str, int]:
        """Functions that were called so often."""
        return {name: number for name, number in self.counts.items() if number >= count}


class CallCounter:
    """Counts the calls that this thread makes between `begin` and `end`."""

    def __init__(self) -> None:
        self._ours: Counter[CodeType] = Counter()
        self._others: Counter[str] = Counter()

    def begin(self) -> None:
        sys.setprofile(self._on_event)

    def end(self) -> Calls:
        sys.setprofile(None)
        counts = Counter(self._others)
        for code, count in self._ours.items():
            counts[f"{_module_of(code)}:{code.co_qualname}"] += count
        return Calls(dict(counts))

    def _on_event(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self._ours[frame.f_code] += 1
        elif event == "c_call":
            self._others[_name_of(arg)] += 1


def _module_of(code: CodeType) -> str:
    """Its path from our package on, wherever that is installed; else the file and its directory."""
    parts = Path(code.co_filename).parts
    begin = next((position for position in range(len(parts) - 2, 0, -1) if parts[position] in PACKAGES), -2)
    return "/".join(parts[begin:])


def _name_of(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    is_method = owner is not None and not isinstance(owner, type(sys))
    return f"{type(owner).__name__ if is_method else function.__module__}.{function.__name__}"


@contextmanager
def counted_into(path: Path) -> Iterator[None]:
    """The block's calls, written as JSON."""
    counter = CallCounter()
    counter.begin()
    try:
        yield
    finally:
        path.write_text(json.dumps(counter.end().counts))


def calls_in(path: Path) -> Calls:
    return Calls(json.loads(path.read_text()))
