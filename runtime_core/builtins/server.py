"""The component server inside the gateway: runs built-ins in batches, without a process between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from flowspan.errors import BUDGET_OF, FlowErrorCode, FlowspanError, NotFoundError
from runtime_core.builtins.catalog import BUILTINS, bad_input
from runtime_core.calls import CallFailure, CallResult, ComponentCall
from runtime_core.ports import EngineSink, StoredBlob

log = structlog.get_logger(__name__)

SLOTS: Final = 1_024
"""Calls that run at once; instant ones take no time at all."""

MAX_SLEEP_MS: Final = 24 * 3_600_000
"""A step lasts at most a day."""


class BlobAccess(Protocol):
    """What built-ins need of the run API."""

    async def put_blob(self, data: bytes, *, namespace: str = "default", blob_type: str = "data") -> str: ...

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob: ...


class _Sleep(msgspec.Struct):
    duration_ms: int
    passthrough: msgspec.Raw = msgspec.Raw(b"null")


class _PutBlob(msgspec.Struct):
    data: msgspec.Raw
    blob_type: str = "data"


class _GetBlob(msgspec.Struct):
    blob_id: str


def _our_fault(error: Exception) -> CallFailure:
    """An error of our own fails its call, not the batch that the call came in."""
    log.error("builtin_failed", exc_info=error)
    message = f"the built-in failed ({type(error).__name__}); the gateway's log says more"
    return CallFailure(FlowErrorCode.ORCHESTRATOR_ERROR, message)


def _at_once(instant: Callable[[bytes], bytes | CallFailure], given: bytes) -> bytes | CallFailure:
    try:
        return instant(given)
    except Exception as error:
        return _our_fault(error)


class BuiltinServer:
    """Implements `runtime_core.ports.ComponentServer`. `sink` and `blobs` are set by the composition root."""

    name: Final = "builtin"
    keeps_timeouts: Final = False
    broken: Final = None
    waiting_for: Final = None

    def __init__(self) -> None:
        self.sink: EngineSink | None = None
        self.blobs: BlobAccess | None = None
        self._waiting: dict[ComponentCall, asyncio.Task[None] | asyncio.TimerHandle] = {}
        self._results: list[CallResult] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def journals(self, component: str) -> bool:
        return False

    def free_slots(self) -> int:
        return SLOTS - len(self._waiting) - len(self._results)

    def start(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            builtin = BUILTINS.get(call.template.component)
            if builtin is None:
                known = ", ".join(sorted(BUILTINS))
                message = f"there is no built-in {call.template.component}; there are {known}"
                self._finish(call, CallFailure(FlowErrorCode.COMPONENT_NOT_FOUND, message))
            elif builtin.instant is not None:
                self._finish(call, _at_once(builtin.instant, call.input))
            else:
                self._begin(call)

    def can_start_alone(self) -> bool:
        return True

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        self.start(calls)

    def park(self, call: ComponentCall) -> None:
        """Built-ins hold no slot that others wait for."""

    def try_unpark(self, call: ComponentCall) -> bool:
        return True

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            waiting = self._waiting.pop(call, None)
            if waiting is not None:
                waiting.cancel()

    async def cancel(self, calls: Sequence[ComponentCall]) -> int:
        for call in calls:
            waiting = self._waiting.pop(call, None)
            if waiting is not None:
                waiting.cancel()
                self._finish(call, CallFailure(FlowErrorCode.CANCELLED, "cancelled"))
        return 0

    def close(self) -> None:
        for waiting in self._waiting.values():
            waiting.cancel()
        self._waiting.clear()

    def _begin(self, call: ComponentCall) -> None:
        loop = asyncio.get_running_loop()
        name = call.template.component
        try:
            if name == "/sleep":
                sleep = msgspec.json.decode(call.input, type=_Sleep)
                if not 0 <= sleep.duration_ms <= MAX_SLEEP_MS:
                    self._finish(call, bad_input(f"/builtin/sleep: duration_ms must be in 0..{MAX_SLEEP_MS}"))
                    return
                output = bytes(sleep.passthrough)
                self._waiting[call] = loop.call_later(sleep.duration_ms / 1000, self._end, call, output)
            elif name == "/put_blob":
                self._run(call, self._put(call, msgspec.json.decode(call.input, type=_PutBlob)))
            else:
                self._run(call, self._get(call, msgspec.json.decode(call.input, type=_GetBlob)))
        except msgspec.DecodeError as error:
            self._finish(call, bad_input(f"/builtin{name}: {error}"))

    def _run(self, call: ComponentCall, work: Coroutine[Any, Any, bytes]) -> None:
        async def run() -> None:
            try:
                result: bytes | CallFailure = await work
            except FlowspanError as error:
                code = error.row.flow
                # A blob that is not there is bad input; a store that is busy may be tried again.
                result = CallFailure(FlowErrorCode.INVALID_INPUT if isinstance(error, NotFoundError) else code, error.message)
                assert code in BUDGET_OF
            except Exception as error:
                result = _our_fault(error)
            self._end(call, result)

        self._waiting[call] = asyncio.get_running_loop().create_task(run())

    async def _put(self, call: ComponentCall, given: _PutBlob) -> bytes:
        assert self.blobs is not None
        blob_id = await self.blobs.put_blob(bytes(given.data), namespace=call.template.namespace, blob_type=given.blob_type)
        return msgspec.json.encode({"blob_id": blob_id})

    async def _get(self, call: ComponentCall, given: _GetBlob) -> bytes:
        assert self.blobs is not None
        blob = await self.blobs.get_blob(given.blob_id, namespace=call.template.namespace)
        return b'{"data":%b}' % blob.data

    def _end(self, call: ComponentCall, result: bytes | CallFailure) -> None:
        if self._waiting.pop(call, None) is not None:
            self._finish(call, result)

    def _finish(self, call: ComponentCall, result: bytes | CallFailure) -> None:
        """Results of one batch go to the engine together, after `start` has returned."""
        if not self._results:
            asyncio.get_running_loop().call_soon(self._flush)
        self._results.append((call, result))

    def _flush(self) -> None:
        results, self._results = self._results, []
        assert self.sink is not None
        self.sink.on_results(results)
