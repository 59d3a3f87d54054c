"""Steps that a vanishing caller must not tear apart."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Submissions:
    """Runs steps to their end, whatever becomes of the call that asked for them.

    A submit that was handed to the core is applied as a whole; the caller that left asks again with its request id.
    """

    def __init__(self) -> None:
        self._tasks: Final[set[asyncio.Task[Any]]] = set()

    @property
    def in_progress(self) -> int:
        return len(self._tasks)

    async def finish(self, step: Coroutine[Any, Any, T]) -> T:
        """The result of `step`, which goes on if this wait is cancelled."""
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # The call that asked may be gone: an error that nobody hears is no news (nothing was applied).
            task.exception()

    async def drain(self, timeout_s: float) -> None:
        """Wait for all steps, then end those that are still not done."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=timeout_s)
