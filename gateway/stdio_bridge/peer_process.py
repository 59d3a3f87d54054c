"""What a peer needs of whatever carries its lines: a process, or a server that is reached in another way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.stdio_bridge.exit_report import ExitReport


class PeerProcess(Protocol):
    """See `ComponentProcess`, which is one."""

    def spawn(self) -> None: ...

    @property
    def pid(self) -> int: ...

    @property
    def is_running(self) -> bool: ...

    @property
    def write_buffer_bytes(self) -> int: ...

    @property
    def stalled_since(self) -> float | None: ...

    @property
    def stdin_is_open(self) -> bool: ...

    def stderr_tail(self) -> str: ...

    def write(self, data: bytes | Sequence[bytes]) -> bool: ...

    def kill(self) -> None: ...

    async def stop(self, grace_s: float = 2.0) -> ExitReport | None: ...
