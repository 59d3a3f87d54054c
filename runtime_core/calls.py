"""Component calls: what the engine hands to a component server and what comes back.

One `ComponentCall` object per attempt is all that the hot path makes; everything that is equal for all items of a run's
step stands in its `CallTemplate`.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from flowspan.errors import FlowErrorCode


class CallTemplate:
    """What all calls of one step of one run share.

    Attributes:
        component: path as the server knows it (the route's prefix stripped, leading `/`).
        timeout_s: bound on one attempt.
        trace_id, parent_span_id: 32 and 16 hex digits.
        prepared: for the component server: whatever it prepares once per template (request bytes).
    """

    __slots__ = (
        "component",
        "flow_id",
        "namespace",
        "parent_span_id",
        "prepared",
        "run_id",
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
    ) -> None:
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


class ComponentCall:
    """One attempt of one step of one item.

    Attributes:
        number: unique in this process, never reused; span id, task token and request id are made of it.
        input: JSON bytes, unparsed.
        attempt: from 1; only rises, over retries and crashes.
        deadline_s: monotonic time at which the attempt times out; set at dispatch, moved by waits.
        owner: the engine's handle; opaque to component servers.
    """

    __slots__ = ("attempt", "deadline_s", "input", "item_index", "number", "owner", "template")

    def __init__(self, number: int, template: CallTemplate, item_index: int, attempt: int, input: bytes, owner: Any) -> None:  # noqa: A002
        self.number = number
        self.template = template
        self.item_index = item_index
        self.attempt = attempt
        self.input = input
        self.owner = owner
        self.deadline_s = 0.0

    @property
    def idempotency_token(self) -> str:
        """26 characters, equal over all attempts of the same step of the same item (promises of docs/acknowledgements.md)."""
        template = self.template
        return idempotency_token(template.run_id, self.item_index, template.step_id)


def idempotency_token(run_id: str, item_index: int, step_id: str) -> str:
    """base32(sha256(length-prefixed run id, item index, step id)), the first 26 characters, lower case."""
    text = f"{len(run_id)}:{run_id}{item_index}:{len(step_id)}:{step_id}"
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:17])[:26].decode().lower()


class CallFailure(msgspec.Struct, frozen=True, gc=False):
    """An attempt without a result.

    Attributes:
        code: decides the retry budget.
        data: raw JSON or None.
        retry_after_s: the component's hint, if it gave one.
    """

    code: FlowErrorCode
    message: str
    data: bytes | None = None
    retry_after_s: float | None = None

    def payload(self) -> bytes:
        """The error as the payload of a FAILED event."""
        error: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.data is not None:
            error["data"] = msgspec.Raw(self.data)
        return msgspec.json.encode(error)


CallResult = tuple[ComponentCall, bytes | CallFailure]
"""A call and its output's JSON bytes, or why it has none."""
