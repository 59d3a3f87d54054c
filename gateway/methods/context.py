"""What a handler knows of the server that asks, whatever carries the request."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from flowspan.jsonrpc import Dialect, RequestId


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """What a request says about the execution that it comes from; all of it optional.

    `trace_id`: 32 hex digits, of a server that names no span with it.
    """

    task_token: str | None = None
    span_id: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    traceparent: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class RequestLink:
    """In whose name a request is served.

    Attributes:
        namespace: whose rights it has.
        task_token: of the execution, or None if it is not known.
        unlinked_depth: without a token: the depth of the run below which a sub-run goes (0: none); 0 with one.
    """

    namespace: str
    task_token: str | None = None
    unlinked_depth: int = 0


class RequestContext(Protocol):
    """One request of a component server."""

    @property
    def request_id(self) -> RequestId: ...

    @property
    def dialect(self) -> Dialect: ...

    @property
    def max_answer_bytes(self) -> int:
        """Longest line that the server is sent."""
        ...

    def link(self, origin: RequestOrigin) -> RequestLink:
        """The execution that asks. PERMISSION_DENIED if it cannot be told and must be, or if its token is not of an open one."""
        ...

    def waiting(self, link: RequestLink) -> AbstractContextManager[None]:
        """Around an open-ended wait: it does not count against the server's window.

        Raises:
            OverloadedError: the server has too many open waits.
            RecursionLimitError: the server cannot take nested work, and there is no further process for it.
        """
        ...

    def notify(self, method: str, params: bytes) -> None:
        """Send a notification about this request."""
        ...

    async def wait_writable(self) -> None:
        """Until the server has read most of what it was sent. Bounded: a server that stops reading is ended."""
        ...
