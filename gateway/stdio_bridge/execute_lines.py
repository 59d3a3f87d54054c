"""Request lines of `components/execute`, made by splicing bytes: what all calls of a step share is prepared once.

A line costs one formatting operation and one hash per call; the input goes in unparsed.
"""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.idempotency import IdempotencyTokens
from flowspan.jsonrpc import one_line
from runtime_core.calls import CallNaming, CallTemplate, ComponentCall

_text = msgspec.json.encode
MAX_TIMEOUT_MS: Final = 2**53 - 1


class ExecuteLines:
    """Lines for the calls of one `CallTemplate` to component servers of one kind.

    Attributes:
        kind: what the caller compares to know whether the lines still fit; see `gateway.stdio_bridge.handshake.ServerKind`.
    """

    __slots__ = ("_format", "_sends_item", "_sends_token", "_tokens", "kind")

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
    ) -> None:
        """`component`, `flow_id`: as the server writes them (dialects differ).

        `repeats_origin`: run, flow and step stand beside the input too. Some releases of the older SDKs (0.3, 0.5) look for
        them there only, and leave a request without them unanswered.
        `sends_item`: the item's index stands beside the input. `sends_token`: the idempotency token does; a server that derives
        it saves its hash.
        """
        self.kind = kind
        self._tokens = IdempotencyTokens(template.run_id, template.step_id)
        span = naming.span_prefix + "%010x"
        flags = "01" if template.sampled else "00"
        run_id, step_id, flow = _escaped(template.run_id), _escaped(template.step_id), _escaped(flow_id)
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
            b',"timeoutMs":%d}}\n' % min(round(template.timeout_s * 1000), MAX_TIMEOUT_MS) if sends_timeout else b"}}\n",
        )
        self._format = b"".join(pieces)
        self._sends_item = sends_item
        self._sends_token = sends_token

    def line(self, call: ComponentCall) -> bytes:
        """The request, with its newline."""
        number, data = call.number, call.input
        if b"\n" in data or b"\r" in data:
            data = one_line(data)
        item = call.item_index
        if not self._sends_token:
            return self._format % (number, data, call.attempt, number, number, number, item)
        if self._sends_item:
            return self._format % (number, data, call.attempt, number, number, number, item, self._tokens.of(item))
        return self._format % (number, data, call.attempt, number, number, number, self._tokens.of(item))


def _escaped(text: str) -> bytes:
    """A JSON string inside a format."""
    return _text(text).replace(b"%", b"%%")
