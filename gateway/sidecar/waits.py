"""Executions that wait for runs of the remote gateway: their slots are lent here as they are there."""

from __future__ import annotations

from typing import Protocol


class Waits(Protocol):
    """Who lends the slot of an execution that waits."""

    def begin_wait(self, task_token: str) -> None: ...

    async def wait_for_slot(self, task_token: str) -> None:
        """Ahead of the answer that ends the wait."""
        ...

    def end_wait(self, task_token: str) -> None: ...
