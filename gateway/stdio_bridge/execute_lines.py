"""Request lines of `components/execute` and `$/execute`, made by splicing bytes: what all calls of a step share is prepared once.

A line costs one formatting operation and one hash per call; the input goes in unparsed. In bulk what is shared is sent once for
many calls, and a call costs some ten bytes beside its input instead of four hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from flowspan.idempotency import IdempotencyTokens
from flowspan.jsonrpc import one_line
from flowspan.jsonrpc.bulk import LINE_BYTES, MAX_CALL_BYTES, SMALL_BYTES, BulkOrigin, encode_execute_many, execute_many_head
from runtime_core.calls import CallNaming, CallTemplate, ComponentCall

_text = msgspec.json.encode
_LARGE_BYTES: Final = 32 * 1024
"""Larger inputs are joined: of 1 MB, that takes 0.02 ms, formatting 0.6."""
MAX_TIMEOUT_MS: Final = 2**53 - 1


class ExecuteLines:
    """Lines for the calls of one `CallTemplate` to component servers of one kind.

    Attributes:
        kind: what the caller compares to know whether the lines still fit; see `gateway.stdio_bridge.handshake.ServerKind`.
        bulk_bytes: inputs up to this size go in bulk; -1 if none does.
    """

    __slots__ = ("_bulk_head", "_format", "_max_bulk_bytes", "_sends_item", "_sends_token", "_tokens", "bulk_bytes", "kind")

    def __init__(
        self,
        naming: CallNaming,
        template: CallTemplate,
        *,
        kind: object,
        component: str,
        flow_id: str,
        repeats_origin: bool,
        sends_timeout: bool,
        sends_item: bool = True,
        sends_token: bool = True,
        bulk: bool = False,
        max_line_bytes: int = LINE_BYTES,
    ) -> None:
        """`component`, `flow_id`: as the server writes them (dialects differ).

        `repeats_origin`: run, flow and step stand beside the input too. Some releases of the older SDKs (0.3, 0.5) look for
        them there only, and leave a request without them unanswered.
        `sends_item`: the item's index stands beside the input. `sends_token`: the idempotency token does; a server that derives
        it saves its hash. `bulk`: it takes many calls in one line, of `max_line_bytes` at most.
        """
        self.kind = kind
        self._tokens = IdempotencyTokens(template.run_id, template.step_id)
        span = naming.span_prefix + "%010x"
        flags = "01" if template.sampled else "00"
        run_id, step_id, flow = _escaped(template.run_id), _escaped(template.step_id), _escaped(flow_id)
        timeout_ms = min(round(template.timeout_s * 1000), MAX_TIMEOUT_MS) if sends_timeout else None
        origin = BulkOrigin(template.trace_id, template.run_id, flow_id, template.step_id, flags)
        self._bulk_head = (
            execute_many_head(component, origin, naming.span_prefix, naming.token_prefix, timeout_ms) if bulk else b""
        )
        self._max_bulk_bytes = min(max_line_bytes, LINE_BYTES) - len(self._bulk_head)
        self.bulk_bytes = min(SMALL_BYTES, self._max_bulk_bytes - MAX_CALL_BYTES) if bulk else -1
        pieces = (
            b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{"component":',
            _escaped(component),
            b',"input":%b,"attempt":%d',
            b',"run_id":' + run_id + b',"flow_id":' + flow + b',"step_id":' + step_id if repeats_origin else b"",
            b',"observability":{"trace_id":',
            _escaped(template.trace_id),
            f',"span_id":"{span}","run_id":'.encode(),
            run_id,
            b',"flow_id":',
            flow,
            b',"step_id":',
            step_id,
            f',"traceparent":"00-{template.trace_id}-{span}-{flags}"}},"taskToken":"{naming.secret}-%x"'.encode(),
            b',"itemIndex":%d' if sends_item else b"",
            b',"idempotencyToken":"%b"' if sends_token else b"",
            b',"timeoutMs":%d}}\n' % timeout_ms if timeout_ms is not None else b"}}\n",
        )
        self._format = b"".join(pieces)
        self._sends_item = sends_item
        self._sends_token = sends_token

    def bulk_lines(self, calls: Sequence[ComponentCall]) -> bytes:
        """As few `$/execute` as hold these calls of this template, whose inputs have `bulk_bytes` at most."""
        if sum([len(call.input) for call in calls]) + MAX_CALL_BYTES * len(calls) <= self._max_bulk_bytes:
            return encode_execute_many(self._bulk_head, calls)
        middle = len(calls) // 2
        return self.bulk_lines(calls[:middle]) + self.bulk_lines(calls[middle:])

    def line(self, call: ComponentCall) -> bytes:
        """The request, with its newline."""
        data = call.input
        if b"\n" in data or b"\r" in data:
            data = one_line(data)
        if len(data) > _LARGE_BYTES:
            line = self._line(call, b"\0")  # which no line holds otherwise
            head, _, tail = line.partition(b"\0")
            return b"".join((head, data, tail))
        return self._line(call, data)

    def _line(self, call: ComponentCall, data: bytes) -> bytes:
        number, item = call.number, call.item_index
        if not self._sends_token:
            return self._format % (number, data, call.attempt, number, number, number, item)
        if self._sends_item:
            return self._format % (number, data, call.attempt, number, number, number, item, self._tokens.of(item))
        return self._format % (number, data, call.attempt, number, number, number, self._tokens.of(item))


def _escaped(text: str) -> bytes:
    """A JSON string inside a format."""
    return _text(text).replace(b"%", b"%%")
