"""Component calls: what the engine hands to a component server and what comes back.

One `ComponentCall` object per attempt is all that the hot path makes; everything that is equal for all items of a run's
step stands in its `CallTemplate`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.idempotency import idempotency_token


class CallTemplate:
    """What all calls of one step of one run share.

    Attributes:
        component: path as the server knows it (the route's prefix stripped, leading `/`).
        timeout_s: bound on one attempt.
        trace_id, parent_span_id: 32 and 16 hex digits.
        sampled: whether the trace is recorded (the caller's decision, told to components).
        depth: of the run, 1 without a parent; a sub-run whose execution cannot be told goes below the greatest open one.
        prepared: for the component server: whatever it prepares once per template (request bytes).
    """

    __slots__ = (
        "component",
        "depth",
        "flow_id",
        "namespace",
        "parent_span_id",
        "prepared",
        "run_id",
        "sampled",
        "step_id",
        "step_index",
        "timeout_s",
        "trace_id",
    )

    def __init__(
        self,
        *,
        namespace: str,
        run_id: str,
        flow_id: str,
        step_id: str,
        step_index: int,
        component: str,
        timeout_s: float,
        trace_id: str,
        parent_span_id: str,
        depth: int = 1,
        sampled: bool = True,
    ) -> None:
        self.depth = depth
        self.sampled = sampled
        self.namespace = namespace
        self.run_id = run_id
        self.flow_id = flow_id
        self.step_id = step_id
        self.step_index = step_index
        self.component = component
        self.timeout_s = timeout_s
        self.trace_id = trace_id
        self.parent_span_id = parent_span_id
        self.prepared: Any = None


class ComponentCall(msgspec.Struct, eq=False):
    """One attempt of one step of one item. Known by its identity.

    Attributes:
        number: unique in this process, never reused; span id, task token and request id are made of it.
        input: JSON bytes, unparsed.
        attempt: from 1; only rises, over retries and crashes.
        sent_s: monotonic time of the dispatch.
        deadline_s: monotonic time at which the attempt times out; set at dispatch, moved by waits. Infinite until its server
            says that it began, where the server keeps time-outs itself.
        owner: the engine's handle; opaque to component servers.
        submits: how often the attempt has submitted the same sub-run; None until it submits one.
        is_abandoned: its item has ended without it.
        waited_s: how long the attempt has waited for sub-runs, all in all.
    """

    number: int
    template: CallTemplate
    item_index: int
    attempt: int
    input: bytes
    owner: Any
    deadline_s: float = 0.0
    sent_s: float = 0.0
    submits: dict[bytes, int] | None = None
    is_abandoned: bool = False
    waited_s: float = 0.0

    @property
    def idempotency_token(self) -> str:
        """26 characters, equal over all attempts of the same step of the same item (promises of docs/acknowledgements.md)."""
        template = self.template
        return idempotency_token(template.run_id, self.item_index, template.step_id)


class CallNaming:
    """Names that executions have on the wire, made of their call's number, and back. One object per gateway process.

    Args:
        secret: at least 16 hex digits that nobody can guess; a task token gives the rights of its execution.
        span_prefix: 6 random hex digits, so that spans of two processes differ.
    """

    __slots__ = ("secret", "span_prefix")

    def __init__(self, secret: str, span_prefix: str) -> None:
        if len(secret) < 16 or len(span_prefix) != 6:
            raise ValueError("a secret of at least 16 and a span prefix of 6 hex digits are needed")
        self.secret = secret
        self.span_prefix = span_prefix

    def span_id(self, number: int) -> str:
        """16 hex digits."""
        return f"{self.span_prefix}{number:010x}"

    @property
    def token_prefix(self) -> str:
        """What every task token of this process begins with; the call's number in hex follows."""
        return f"{self.secret}-"

    def task_token(self, number: int) -> str:
        return f"{self.secret}-{number:x}"

    def number_of_token(self, token: str) -> int | None:
        """The call's number, or None if this process made no such token."""
        secret, dash, digits = token.rpartition("-")
        return _hex_number(digits) if dash and secret == self.secret else None

    def number_of_span(self, span_id: str) -> int | None:
        """The call's number, or None if this process made no such span."""
        if len(span_id) != 16 or not span_id.startswith(self.span_prefix):
            return None
        return _hex_number(span_id[6:])


_HEX_NUMBER: Final = re.compile("[0-9a-f]{1,16}")


def _hex_number(digits: str) -> int | None:
    return int(digits, 16) if _HEX_NUMBER.fullmatch(digits) else None


class CallFailure(msgspec.Struct, frozen=True, gc=False):
    """An attempt without a result.

    Attributes:
        code: decides the retry budget.
        data: raw JSON or None.
        retry_after_s: the component's hint, if it gave one.
        is_final: the same would come of every further attempt: no budget repeats it.
    """

    code: FlowErrorCode
    message: str
    data: bytes | None = None
    retry_after_s: float | None = None
    is_final: bool = False

    def payload(self) -> bytes:
        """The error as the payload of a FAILED event."""
        error: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.data is not None:
            error["data"] = msgspec.Raw(self.data)
        return msgspec.json.encode(error)


class CallSkip(msgspec.Struct, frozen=True, gc=False):
    """A component's word that its step counts as skipped. `reason`: for people, or None."""

    reason: str | None = None

    def payload(self) -> bytes:
        """The payload of a SKIPPED event."""
        return b"{}" if self.reason is None else msgspec.json.encode({"reason": self.reason})


CallAnswer = bytes | CallFailure | CallSkip
"""How an attempt ended: its output's JSON bytes, or why it has none."""

CallResult = tuple[ComponentCall, CallAnswer]
