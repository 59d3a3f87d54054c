"""One execution of a component, from its request to its answer."""

from __future__ import annotations

import asyncio
from enum import Enum
from math import inf
from typing import Any, Final

import msgspec

from flowspan.components.registry import Component
from flowspan.jsonrpc import RequestId
from flowspan.jsonrpc.bulk import BulkCall, ExecuteMany


class ExecuteParams(msgspec.Struct, gc=False):
    """What every execution needs of `components/execute`; the rest is decoded only for components that take a context."""

    component: str
    input: msgspec.Raw = msgspec.Raw(b"null")
    timeoutMs: float | None = None


class ExecutionFacts(msgspec.Struct):
    """What a context tells about its execution. Absent and null members take the defaults; snake_case is read, too."""

    attempt: int | None = None
    taskToken: str | None = None
    task_token: str | None = None
    idempotencyToken: str | None = None
    idempotency_token: str | None = None
    itemIndex: int | None = None
    item_index: int | None = None
    observability: msgspec.Raw = msgspec.Raw(b"null")


class Observability(msgspec.Struct):
    """Ids of the span, run, flow and step."""

    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None
    flow_id: str | None = None
    step_id: str | None = None
    traceparent: str | None = None
    item_index: int | None = None


class Stop(Enum):
    """Why an execution shall end before its component is done."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    DISCONNECTED = "disconnected"


decode_execute: Final = msgspec.json.Decoder(ExecuteParams).decode
decode_facts: Final = msgspec.json.Decoder(ExecutionFacts).decode
decode_observability: Final = msgspec.json.Decoder(Observability | None).decode


class Execution:
    """State of one execution. All changes happen on the loop's thread, but for `began_s`, which a pool thread sets once.

    Attributes:
        began_s: monotonic time when component code began; None while it is held. Time-outs count from here.
        timed_out_s: monotonic time at which its time was found to be over; its component may run on.
        stop: set once, when the gateway cancels or the time is over.
        answered: whether the gateway has its answer; whatever the component still does is dropped.
        waits: open waits on runs; while there is one, no time-out runs.
        path: the component as the request named it; other than its name where that has parameters.
        bulk: what it shares with others, if it came in bulk; it is answered in bulk then.
    """

    __slots__ = (
        "_params",
        "_parked_since_s",
        "_waited_s",
        "answered",
        "began_s",
        "bulk",
        "calls",
        "component",
        "input",
        "path",
        "request_id",
        "stop",
        "task",
        "timed_out_s",
        "timeout_s",
        "told_begun",
        "waits",
    )

    def __init__(
        self,
        request_id: RequestId,
        component: Component,
        value: msgspec.Raw,
        params: bytes | BulkCall,
        timeout_ms: float | None,
        bulk: ExecuteMany | None = None,
        *,
        path: str = "",
    ) -> None:
        self.path = path
        self.request_id = request_id
        self.component = component
        self.input = value
        self._params = params
        self.bulk = bulk
        self.timeout_s = timeout_ms / 1000 if timeout_ms is not None else inf
        self.began_s: float | None = None
        self.timed_out_s: float | None = None
        self.stop: Stop | None = None
        self.answered = False
        self.told_begun = False
        self.task: asyncio.Task[None] | None = None
        self.calls: set[asyncio.Task[Any]] | None = None
        self.waits = 0
        self._waited_s = 0.0
        self._parked_since_s = 0.0

    @property
    def number(self) -> int:
        """The id of one that came in bulk."""
        assert isinstance(self.request_id, int)
        return self.request_id

    @property
    def params(self) -> bytes:
        """The params of its request; made up for one that came in bulk."""
        params = self._params
        if isinstance(params, bytes):
            return params
        assert self.bulk is not None
        return self.bulk.params_of(params)

    def begin_wait(self, now_s: float) -> None:
        if self.waits == 0:
            self._parked_since_s = now_s
        self.waits += 1

    def end_wait(self, now_s: float) -> None:
        self.waits -= 1
        if self.waits == 0:
            self._waited_s += now_s - self._parked_since_s

    def deadline_s(self, now_s: float) -> float:
        """Monotonic time at which it times out as things stand; infinite while it waits. Only once it has begun."""
        if self.began_s is None or self.waits or self.answered:
            return inf
        return self.began_s + self.timeout_s + self._waited_s
