"""What an execution asks the gateway, whatever wire carries it: runs, blobs, and following runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from flowspan.view.status import ItemResult, ResultOrder, RunStatus

ResultOrderLike = ResultOrder | Literal["byIndex", "byCompletion"]


class RunCalls(Protocol):
    """Calls of the gateway in the name of one execution."""

    async def put_blob(self, data: Any, blob_type: str) -> str:
        """Store a value, or bytes as a binary blob; its id."""
        ...

    async def get_blob(self, blob_id: str) -> Any:
        """The value of a blob; bytes for a binary one."""
        ...

    async def submit_run(self, options: Mapping[str, Any], inputs: Sequence[Any], wait: bool) -> RunStatus:
        """`options`: the other parameters of `runs/submit` by their names there, None for absent ones."""
        ...

    async def get_run(
        self, run_id: str, wait: bool, include_results: bool | None, order: ResultOrderLike, timeout_s: float | None
    ) -> RunStatus: ...

    async def cancel_run(self, run_id: str, reason: str | None) -> None: ...


class WatchOwner(Protocol):
    """The execution that watches: its time-out rests meanwhile, and the watch ends with it."""

    def begin_wait(self) -> None: ...

    def end_wait(self) -> None: ...

    def adopt(self, task: asyncio.Task[Any]) -> None: ...


class ResultsWatch(Protocol):
    """An async iterator of item results in the order of the run's log; ends when the run is terminal.

    Attributes:
        cursor: the last event that was taken in; `watch_run(after_seq=...)` goes on behind it.
        status: the run's status once it is terminal, else None.
    """

    @property
    def run_id(self) -> str: ...
    @property
    def cursor(self) -> int: ...
    @property
    def status(self) -> RunStatus | None: ...

    def __aiter__(self) -> ResultsWatch: ...
    async def __anext__(self) -> ItemResult: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def aclose(self) -> None:
        """Stop watching; harmless when it is over."""
        ...

    def cancel(self) -> object:
        """Stop watching without waiting for it. On the loop's thread."""
        ...
