"""FlowResult, what a flow or a component yields for one item, as JSON both ways (docs/flow-language.md).

    {"outcome": "success", "value": ...}
    {"outcome": "failed", "error": {"code", "message", "data"?}}
    {"outcome": "skipped", "reason"?}

Inside, it is an outcome and a payload as in `flowspan.view.events.ItemCompleted`. Payloads are spliced in and cut out as
bytes: a value is never parsed here, so its numbers come out as they were written. When read, the older spelling `result` of
`value` is taken as well.
"""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.view.events import Outcome

_text = msgspec.json.encode
_CANCELLED_ERROR: Final = b'{"code":"CANCELLED","message":"the run was cancelled"}'
"""Payload of a cancelled item that carries none of its own (it had not started, or its log was watched without payloads)."""
_OUTCOMES: Final = {"success": Outcome.SUCCESS, "failed": Outcome.FAILED, "skipped": Outcome.SKIPPED}


def flow_result_to_wire(outcome: Outcome, payload: bytes, *, is_blob: bool = False) -> bytes:
    """The FlowResult of an item. `is_blob`: the payload is the ASCII id of a blob that was not read; it is named instead."""
    if is_blob:
        word = "failed" if outcome is Outcome.CANCELLED else outcome.name.lower()
        return b'{"outcome":"%b","blobId":%b}' % (word.encode(), _text(payload.decode("ascii")))
    if outcome is Outcome.SUCCESS:
        return b'{"outcome":"success","value":%b}' % payload if payload else b'{"outcome":"success"}'
    if outcome is Outcome.SKIPPED:
        reason = msgspec.json.decode(payload).get("reason") if payload else None
        return b'{"outcome":"skipped"}' if reason is None else b'{"outcome":"skipped","reason":%b}' % _text(reason)
    if not payload and outcome is Outcome.CANCELLED:
        payload = _CANCELLED_ERROR
    return b'{"outcome":"failed","error":%b}' % payload if payload else b'{"outcome":"failed"}'


class FlowResultObject(msgspec.Struct, rename="camel"):
    """The members as they are read. Raw members are empty where they are absent."""

    outcome: str
    value: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    reason: str | None = None
    blob_id: str | None = None


class _Error(msgspec.Struct):
    code: str = ""


_OBJECT_DECODER: Final = msgspec.json.Decoder(FlowResultObject)
_ERROR_DECODER: Final = msgspec.json.Decoder(_Error)


def flow_result_from_wire(data: bytes) -> tuple[Outcome, bytes]:
    """Outcome and payload of a FlowResult; the payload is empty where its member is absent.

    Raises:
        ValueError: it is not a FlowResult; the text says what is wrong.
    """
    outcome, payload, is_blob = read_flow_result(_OBJECT_DECODER.decode(data))
    if is_blob:
        raise ValueError("blobId names a value that is elsewhere; give the value")
    return outcome, payload


def read_flow_result(wire: FlowResultObject) -> tuple[Outcome, bytes, bool]:
    """Outcome, payload, and whether the payload is a blob id. Raises ValueError as `flow_result_from_wire` does."""
    outcome = _OUTCOMES.get(wire.outcome)
    if outcome is None:
        raise ValueError(f"outcome is {wire.outcome[:40]!r}; it is one of {', '.join(_OUTCOMES)}")
    if wire.blob_id is not None:
        return outcome, wire.blob_id.encode(), True
    if outcome is Outcome.SUCCESS:
        return outcome, bytes(wire.value) or bytes(wire.result), False
    if outcome is Outcome.SKIPPED:
        return outcome, b"{}" if wire.reason is None else _text({"reason": wire.reason}), False
    error = bytes(wire.error)
    if error and _ERROR_DECODER.decode(error).code == FlowErrorCode.CANCELLED:
        # An item that a cancel ended is a failed one on the wire; its code tells them apart.
        outcome = Outcome.CANCELLED
    return outcome, error, False
