"""Results of a run as server-sent events, from a cursor on (https://html.spec.whatwg.org/multipage/server-sent-events.html).

id: SEQ             the event's number in the run's log: what Last-Event-ID resumes behind
event: result       data: an item result, as in `results` of RunStatus
event: status       data: RunStatus without results; the last event of the stream
event: failure      data: {"error": ...}; without an id: the stream ends early, the cursor stays where it was
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from flowspan.errors import FlowspanError, InvalidArgumentError, OverloadedError
from flowspan.jsonrpc import one_line
from flowspan.protobuf.segments import decode_rows
from flowspan.view.events import ItemCompleted
from flowspan.view.status import ItemResult
from flowspan.view.wire import item_result_to_wire, run_status_to_wire
from gateway.grpc_server.status import failure_of
from gateway.web.exchange import Exchange
from gateway.web.failures import error_body
from gateway.web.limits import EVENT_BYTES, HEARTBEAT_S
from gateway.web.parameters import EventsParams
from gateway.web.presence import while_connected
from gateway.web.request import Answer, WebRequest
from runtime_core.api import RunWatch, WatchBatch
from runtime_core.model.ids import parse_run_id

_HEAD: Final = b"retry: 1000\n\n"
"""Browsers that lose the stream come back after a second."""
_HEARTBEAT: Final = b": alive\n\n"


async def stream(request: WebRequest) -> Answer | None:
    """The events behind the cursor, to the run's end. 204 if the run's last event is not behind it: browsers then stop asking."""
    params = request.parameters(EventsParams)
    run_id, after_seq = parse_run_id(params.run_id), _cursor(request.exchange, params.after_seq)
    namespace = request.call.namespace
    if after_seq:
        status = await request.api.get_run(run_id, namespace=namespace, max_bytes=0)
        if status.is_terminal and status.as_of_seq == after_seq:
            return Answer(b"", 204)
    with request.faces.streams.holding():
        watch = await request.api.watch_run(run_id, namespace=namespace, after_seq=after_seq, results_only=True)
        try:
            await while_connected(request.exchange, _Stream(request, run_id, after_seq).write_all(watch))
        finally:
            await watch.aclose()
    return None


def _cursor(exchange: Exchange, after_seq: int) -> int:
    text = exchange.headers.get("last-event-id", "").strip()
    if not text:
        return after_seq
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidArgumentError(
            "Last-Event-ID is not an id of this stream; leave it out to begin at the start", field="afterSeq"
        )
    return int(text)


class _Stream:
    """One answer. `after_seq`: the caller's cursor; from then on that of the last event handed out."""

    def __init__(self, request: WebRequest, run_id: str, after_seq: int) -> None:
        self._request: Final = request
        self._exchange: Final = request.exchange
        self._run_id: Final = run_id
        self._after_seq = after_seq

    async def write_all(self, watch: RunWatch) -> None:
        exchange = self._exchange
        await exchange.begin("text/event-stream", (("x-accel-buffering", "no"),))
        failure: FlowspanError | None = None
        try:
            await self._write(_HEAD)
            await self._follow(watch)
            await self._write(await self._last())
        except Exception as error:
            failure = failure_of(error, "runs/events")
        if isinstance(failure, OverloadedError):
            exchange.abort()  # it does not read, so there is nobody to be told
            return
        await exchange.end(b"" if failure is None else _event("failure", error_body(failure)))

    async def _follow(self, watch: RunWatch) -> None:
        """Write results until the run is over. One task waits for the next batch, however long that takes."""
        loop = asyncio.get_running_loop()
        while True:
            coming = loop.create_task(watch.next_batch())
            try:
                while not coming.done():
                    await asyncio.wait((coming,), timeout=HEARTBEAT_S)
                    if not coming.done():
                        await self._write(_HEARTBEAT)
                batch = coming.result()
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
            if batch is None:
                return
            for data in _pieces(batch, self._after_seq):
                await self._write(data)
            self._after_seq = batch.through_seq

    async def _last(self) -> bytes:
        status = await self._request.api.get_run(self._run_id, namespace=self._request.call.namespace, max_bytes=0)
        bare = replace(status, results=None, results_omitted=None, progress=None)
        return _event("status", run_status_to_wire(bare), status.as_of_seq)

    async def _write(self, data: bytes) -> None:
        await self._request.faces.streams.write(self._exchange.write, data, afterSeq=self._after_seq)


def _pieces(batch: WatchBatch, after_seq: int) -> Iterator[bytes]:
    """The item results of a batch behind the cursor, as events, in pieces of about `EVENT_BYTES`."""
    parts: list[bytes] = []
    size = 0
    for segment in decode_rows(b"".join(batch.rows)):
        for seq, event in enumerate(segment.events, segment.first_seq):
            if type(event) is not ItemCompleted or seq <= after_seq:
                continue
            result = ItemResult(event.item_index, event.outcome, event.payload, segment.recorded_at_us, event.is_blob)
            part = _event("result", item_result_to_wire(result), seq)
            parts.append(part)
            size += len(part)
            if size >= EVENT_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _event(name: str, data: bytes, seq: int | None = None) -> bytes:
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (head, name.encode(), one_line(data))
