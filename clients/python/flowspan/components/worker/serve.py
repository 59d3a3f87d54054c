"""The event loop of a worker: from the first hello to the end of the process."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import suppress
from typing import Final

from flowspan import __version__
from flowspan.client.async_client import AsyncClient
from flowspan.components.registry import Registry
from flowspan.components.stdio_loop import EventLoopKind, new_event_loop
from flowspan.components.worker.executor import WorkerExecutor
from flowspan.components.worker.stream import LAST_ACKNOWLEDGEMENT_S, WorkerStream

LEAVE_GRACE_S: Final = 10.0
"""What executions may take to end after SIGTERM."""
END_TIMEOUT_S: Final = 2.0
"""How long async components may take to end after they were cancelled."""

_log = logging.getLogger("flowspan.worker")


def serve_queue(
    registry: Registry, capacity: int, queue: str, target: str | None, token: str | None, kind: EventLoopKind
) -> bool:
    """Serve until SIGTERM or SIGINT (True), or until threads that hang make a new process necessary (False).

    Raises:
        UnavailableError: no gateway is named and none is found.
    """
    loop = new_event_loop(kind)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_Worker(registry, capacity, queue, AsyncClient(target, token=token), loop).serve())
    finally:
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=END_TIMEOUT_S))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


class _Worker:
    """A worker from its start to its end."""

    def __init__(
        self, registry: Registry, capacity: int, queue: str, client: AsyncClient, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._registry = registry
        self._capacity = capacity
        self._queue = queue
        self._client = client
        self._loop = loop
        self._asked = asyncio.Event()
        self._was_signalled = False
        self._idle = asyncio.Event()

    async def serve(self) -> bool:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self._on_signal)
        executor = WorkerExecutor(self._registry, self._capacity, self._loop, self._client, self._idle.set, self._asked.set)
        stream = WorkerStream(self._client.connection, self._queue, executor, f"flowspan-python {__version__}")
        executor.connect(stream)
        conversation = self._loop.create_task(stream.serve())
        asked = self._loop.create_task(self._asked.wait())
        try:
            await asyncio.wait((conversation, asked), return_when=asyncio.FIRST_COMPLETED)
            if not conversation.done():
                await self._leave(executor, stream, conversation)
            if conversation.done():
                conversation.result()
        finally:
            asked.cancel()
            conversation.cancel()
            await asyncio.wait((conversation, asked))
            executor.close()
            await self._client.aclose()
        return self._was_signalled

    async def _leave(self, executor: WorkerExecutor, stream: WorkerStream, conversation: asyncio.Task[None]) -> None:
        """Give back what has not begun, let the rest end, tell its results."""
        executor.leave()
        executor.end_when_idle()
        if executor.running:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_GRACE_S):
                    await self._idle.wait()
        if executor.running:
            _log.warning("%d executions run on after %g s; they are repeated elsewhere", executor.running, LEAVE_GRACE_S)
            executor.abandon()
        stream.hang_up(for_good=True)
        await asyncio.wait((conversation,), timeout=LAST_ACKNOWLEDGEMENT_S)

    def _on_signal(self) -> None:
        self._was_signalled = True
        self._asked.set()
